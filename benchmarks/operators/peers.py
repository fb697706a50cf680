"""The same cases through other converters, each in an environment of its own.

A peer's child (`peer_onnx2tf.py`, `peer_onnxsim.py`) runs under that environment's Python and
imports nothing of ours; the files that it writes are run by the engines that run ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.operators.cases import Arrays, Form, OperatorCase, agree, as_array
from benchmarks.operators.judges import Judgement


@dataclass(frozen=True, slots=True)
class Peer:
    """Another converter: its name, whose target it makes, and the script that calls it."""

    name: str
    target: str
    script: str
    suffix: str


PEERS: Mapping[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("onnx2tf", "tflite", "peer_onnx2tf.py", ".tflite"),
        Peer("onnxsim", "coreml", "peer_onnxsim.py", ".mlpackage"),
    )
}


def judge_artifact(name: str, case: OperatorCase, form: Form, artifact: Path) -> Judgement:
    """What a peer's file answers.

    Peers rename, reorder and transpose inputs and outputs by rules of their own. A peer is given
    the benefit: images may be NHWC, and every output counts that holds the expected values.
    """
    inputs = case.fed(form)
    actual = _litert(artifact, inputs) if name == "onnx2tf" else _mil(artifact, inputs)
    if agree(actual, case.model, case.outputs):
        return "passed", ""
    left = list(actual.values())
    for expected in map(as_array, case.outputs):
        match = next((x for x in left if _same(x, expected)), None)
        if match is None:
            return "wrong", "no output holds the expected values"
        left = [x for x in left if x is not match]
    return "passed", ""


def _same(found: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]", expected: object) -> bool:
    wanted = np.asarray(expected)
    if found.size != wanted.size:
        return False
    forms: list[np.ndarray[Any, Any]] = [found.reshape(wanted.shape)]
    if wanted.ndim >= 3:
        order = (0, wanted.ndim - 1, *range(1, wanted.ndim - 1))
        moved = tuple(wanted.shape[axis] for axis in (0, *range(2, wanted.ndim), 1))
        if found.shape == moved:
            forms.append(found.transpose(order))
    return any(
        np.allclose(form.astype(np.float64), wanted.astype(np.float64), rtol=1e-3, atol=1e-5,
                    equal_nan=True)
        for form in forms
    )  # fmt: skip


def _litert(path: Path, inputs: Arrays) -> Arrays:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    details = interpreter.get_input_details()
    named = {detail["name"].removeprefix("serving_default_").split(":")[0]: detail
             for detail in details}  # fmt: skip
    for position, (name, array) in enumerate(inputs.items()):
        detail = named.get(name) or details[min(position, len(details) - 1)]
        _feed(interpreter, detail, array, resize=True)
    interpreter.allocate_tensors()
    for position, (name, array) in enumerate(inputs.items()):
        detail = named.get(name) or details[min(position, len(details) - 1)]
        _feed(interpreter, detail, array, resize=False)
    interpreter.invoke()
    return {d["name"]: interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()}


def _feed(interpreter: object, detail: dict[str, object], array: object, *, resize: bool) -> None:
    given = np.asarray(array)
    wanted = np.asarray(detail["shape_signature"])
    if given.ndim >= 3 and wanted.size == given.ndim:
        moved = given.transpose(0, *range(2, given.ndim), 1)
        fits = _fits(given.shape, wanted)
        if not fits and _fits(moved.shape, wanted):
            given = moved
    if resize:
        if tuple(np.asarray(detail["shape"])) != given.shape:
            interpreter.resize_tensor_input(detail["index"], given.shape)  # type: ignore[attr-defined]  # no types
        return
    interpreter.set_tensor(detail["index"], np.ascontiguousarray(given, detail["dtype"]))  # type: ignore[attr-defined, call-overload]  # no types


def _fits(shape: tuple[int, ...], wanted: "np.ndarray[tuple[int, ...], np.dtype[np.int_]]") -> bool:
    return all(want in (-1, have) for have, want in zip(shape, wanted.tolist(), strict=True))


def _mil(path: Path, inputs: Arrays) -> Arrays:
    from edgewright_converter.measure.mil_evaluator import open_package

    session = open_package(path)
    entries = [spec.name for spec in session.signature.inputs]
    given = inputs if set(entries) == set(inputs) else dict(zip(entries, inputs.values()))  # noqa: B905  # a peer may drop inputs
    return dict(session.run(given))
