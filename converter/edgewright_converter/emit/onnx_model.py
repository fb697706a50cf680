"""The `onnx` target: the simplified model itself."""

from edgewright_converter.candidate import Artifact

FLOAT_RECIPE = "float"


def emit_onnx(data: bytes) -> Artifact:
    """The float artifact of the target `onnx`."""
    return Artifact("onnx", "float", FLOAT_RECIPE, (("model.onnx", data),))
