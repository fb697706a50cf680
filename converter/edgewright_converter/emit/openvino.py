"""The `openvino` target: an IR of model.xml and model.bin, read from ONNX by OpenVINO itself."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx

from edgewright_converter.candidate import Artifact
from edgewright_converter.errors import TargetRefused, UnsupportedOperator
from edgewright_converter.noise import silenced
from edgewright_converter.openvino_ir import save_ir

_UNSUPPORTED = re.compile(r"No conversion rule found for operations: (?:[\w.]+\.)?(\w+)-\d+")
"""`Det-17`: operator and opset."""


def emit_openvino(data: bytes, *, fp16: bool = False) -> Artifact:
    """The float artifact; with `fp16` the weights are stored as half precision.

    Raises TargetRefused when OpenVINO cannot read the model, with its reason.
    """
    with silenced(), TemporaryDirectory(prefix="edgewright-") as name:
        import openvino

        source = Path(name) / "source.onnx"
        source.write_bytes(data)
        try:
            model = openvino.convert_model(source)
        # OpenVINO's own classes share no base but Exception.
        except (
            openvino.frontend.OpConversionFailure,
            openvino.frontend.OpValidationFailure,
            openvino.frontend.GeneralFailure,
            openvino.frontend.NotImplementedFailure,
            openvino.frontend.InitializationFailure,
            RuntimeError,
            ValueError,
            TypeError,
        ) as error:
            raise _refusal(error, data) from error
        files = save_ir(model, Path(name), compress_to_fp16=fp16, named=True)
    recipe = "openvino fp16 weights" if fp16 else "float"
    return Artifact("openvino", "fp16" if fp16 else "float", recipe, files)


def _refusal(error: Exception, data: bytes) -> TargetRefused:
    text = str(error)
    unsupported = _UNSUPPORTED.search(text)
    if unsupported is not None:
        operator = unsupported[1]
        nodes = onnx.load_model_from_string(data).graph.node
        return UnsupportedOperator(
            target="openvino",
            operator=operator,
            node=next((node.name for node in nodes if node.op_type == operator), operator),
            reason="OpenVINO has no conversion for it",
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return TargetRefused(
        "openvino",
        f"OpenVINO cannot read the model: {lines[-1] if lines else type(error).__name__}; "
        "leave the target openvino out",
    )
