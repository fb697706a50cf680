"""One case on one target: written as `edgewright convert` writes it, run by the engine it has."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
from edgewright_converter.candidate import Artifact
from edgewright_converter.emit.coreml import write_coreml
from edgewright_converter.emit.onnx_model import emit_onnx
from edgewright_converter.emit.openvino import emit_openvino
from edgewright_converter.emit.tensorrt import emit_tensorrt
from edgewright_converter.emit.tflite import write_tflite
from edgewright_converter.frontend import read_onnx
from edgewright_converter.measure.mil_evaluator import open_package
from edgewright_converter.noise import silenced
from edgewright_converter.quantize.selection import MIN_FLOAT_SNR_DB
from edgewright_manifests.errors import EdgewrightError
from edgewright_manifests.golden import snr_db
from edgewright_manifests.variant import Target
from edgewright_runtime.engine import open_session

from benchmarks.operators.cases import Arrays, Form, OperatorCase, agree
from benchmarks.operators.verdicts import Verdict

TARGETS: tuple[Target, ...] = get_args(Target)
Judgement = tuple[Verdict, str]


def judge(target: Target, case: OperatorCase, form: Form, folder: Path) -> Judgement:
    """What becomes of the case on a target.

    The writers of our own (`tflite`, `coreml`) are judged bare, by the case's outputs alone; the
    others as the command does it, with ONNX Runtime's answer to the source as the reference.
    """
    with silenced():
        judged = _by_writer if target in _WRITERS else _by_door
        verdict, reason = judged(target, case, form, folder)
    return verdict, reason.replace(f"{folder}/", "")


def _tflite(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.tflite"
    path.write_bytes(write_tflite(model))
    return path


def _coreml(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.mlpackage.zip"
    path.write_bytes(write_coreml(model, fp16=False))
    return path


_WRITERS: Mapping[str, Callable[[onnx.ModelProto, Path], Path]] = {
    "tflite": _tflite,
    "coreml": _coreml,
}


def run_tflite(path: Path, inputs: Arrays) -> Arrays:
    """A file's outputs in LiteRT by its signature, resized to the inputs."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(path)).get_signature_runner("serving_default")
    return dict(runner(**inputs))


def run_coreml(path: Path, inputs: Arrays) -> Arrays:
    """A package's outputs in our MIL evaluator."""
    return dict(open_package(path).run(inputs))


_RUNNERS: Mapping[str, Callable[[Path, Arrays], Arrays]] = {
    "tflite": run_tflite,
    "coreml": run_coreml,
}


def _by_writer(target: Target, case: OperatorCase, form: Form, folder: Path) -> Judgement:
    model = case.written(form)
    try:
        onnx.checker.check_model(model)  # as the door does, before any writer sees the model
        path = _WRITERS[target](model, folder)
    except onnx.checker.ValidationError as error:
        return "refused", f"breaks the ONNX specification: {error}"
    except EdgewrightError as refusal:
        return "refused", str(refusal)
    actual = _RUNNERS[target](path, case.fed(form))
    return ("passed", "") if agree(actual, case.model, case.outputs) else ("wrong", "")


_EMITTERS: Mapping[str, Callable[[bytes], Artifact]] = {
    "onnx": emit_onnx,
    "openvino": emit_openvino,
    "tensorrt": emit_tensorrt,
}


def _by_door(target: Target, case: OperatorCase, form: Form, folder: Path) -> Judgement:
    given = folder / "given.onnx"
    given.write_bytes(case.written(form).SerializeToString(deterministic=True))
    try:
        source = read_onnx(given).data
    except EdgewrightError as refusal:
        return "refused", str(refusal)
    try:
        open_session("onnx", given).close()  # refuses sequences and the like, which cannot be fed
        inputs = {name: _as_bytes(array) for name, array in case.fed(form).items()}
        reference = _answer("onnx", source, folder, inputs)
    except EdgewrightError as refusal:
        return "source", str(refusal)
    data = _simplified(source, inputs, reference, folder)
    try:
        artifact = _EMITTERS[target](data)
        for name, content in artifact.files:
            (folder / name).write_bytes(content)
        engine: Target = "openvino" if target == "openvino" else "onnx"
        actual = _run(engine, folder / artifact.files[0][0], inputs)
    except EdgewrightError as refusal:
        return "refused", str(refusal)
    passed = agree(actual, case.model, case.outputs)
    if passed:
        return "passed", ""
    if not _near(reference, actual):
        return "measured", f"below {MIN_FLOAT_SNR_DB:.0f} dB beside ONNX Runtime"
    if not agree(reference, case.model, case.outputs):
        return "reference", ""
    return "wrong", ""


def _as_bytes(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Strings as the engines take them."""
    if array.dtype.kind not in "OSU":
        return array
    encoded = [x if isinstance(x, bytes) else str(x).encode() for x in array.reshape(-1)]
    return np.asarray(encoded, object).reshape(array.shape)


def _simplified(source: bytes, inputs: Arrays, reference: Arrays, folder: Path) -> bytes:
    """As the command does: simplified where the result answers the same."""
    import onnxsim

    try:
        model, same = onnxsim.simplify(onnx.load_model_from_string(source))
        data: bytes = model.SerializeToString(deterministic=True)
        kept = same and _near(reference, _answer("onnx", data, folder, inputs), at_least_db=90.0)
    # onnxsim raises whatever its C++ raises; the command runs it in a child and uses the source.
    except Exception:
        return source
    return data if kept else source


def _answer(target: Target, data: bytes, folder: Path, inputs: Arrays) -> Arrays:
    path = folder / "model.onnx"
    path.write_bytes(data)
    return _run(target, path, inputs)


def _run(target: Target, path: Path, inputs: Arrays) -> Arrays:
    session = open_session(target, path, threads=1)
    try:
        return dict(session.run(inputs))
    finally:
        session.close()


def _near(wanted: Arrays, found: Arrays, at_least_db: float = MIN_FLOAT_SNR_DB) -> bool:
    if wanted.keys() != found.keys():
        return False
    if any(found[name].shape != value.shape for name, value in wanted.items()):
        return False
    if any(value.dtype.kind in "OSU" for value in wanted.values()):
        return all((found[name] == value).all() for name, value in wanted.items())
    return snr_db(wanted, found) >= at_least_db
