"""Reads a TFLite file into an ONNX model, operator by operator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from edgewright_converter.errors import ModelFileError
from edgewright_converter.frontend.tflite.call import Call
from edgewright_converter.frontend.tflite.catalogue import registry
from edgewright_converter.frontend.tflite.composer import Composer
from edgewright_converter.frontend.tflite.contents import Contents
from edgewright_converter.frontend.tflite.file import FileOperator, TfliteFile, parse
from edgewright_converter.frontend.tflite.order import Order, choose_orders
from edgewright_converter.frontend.tflite.quantization import is_quantized, is_wide
from edgewright_converter.frontend.tflite.refusal import Refusal, Remedy
from edgewright_converter.frontend.tflite.registry import Registration
from edgewright_converter.frontend.tflite.values import Values

_FOLDED = ("DENSIFY", "DEQUANTIZE")
"""How weights are packed: undone while reading, so that they are plain constants."""


def read_tflite(data: bytes, path: Path) -> onnx.ModelProto:
    """The ONNX model (opset 17) that computes what the TFLite file computes.

    Inputs and outputs keep the signature's names where the file has one (else the tensors'), their
    element types, shapes and order of axes. What the file computes in integers is computed in
    float32 between QuantizeLinear and DequantizeLinear. `path` is only named in errors.

    Raises ModelFileError where the file is damaged, or has an operator that is not known.
    """
    try:
        return _read(parse(data))
    except Refusal as refusal:
        raise ModelFileError(path, refusal.problem, refusal.remedy.value) from refusal


def computes_in_integers(data: bytes, path: Path) -> bool:
    """Whether LiteRT rounds to integers on the way, so that its answer is near the model's that
    is read, and not the same: activations are integers, or become so for integer weights.

    Raises ModelFileError as `read_tflite` does.
    """
    try:
        file = parse(data)
        return any(_rounds(operator, file) for operator in file.operators)
    except Refusal as refusal:
        raise ModelFileError(path, refusal.problem, refusal.remedy.value) from refusal


def _rounds(operator: FileOperator, file: TfliteFile) -> bool:
    if operator.kind in _FOLDED:
        return False
    tensors = [file.tensors[i] for i in (*operator.inputs, *operator.outputs) if i >= 0]
    return any(is_quantized(tensor) for tensor in tensors)


def _read(file: TfliteFile) -> onnx.ModelProto:
    taken = {name for name, _ in (*file.inputs, *file.outputs)}
    composer = Composer(sorted(taken))
    contents = Contents(file)
    values = Values(file, contents, composer)
    operators = [operator for operator in file.operators if not _fold(operator, contents, file)]
    readers = {operator.index: _registration(operator, file) for operator in operators}
    orders = choose_orders(
        file,
        {o.index: readers[o.index].place(Call(o, values)) for o in operators},
        {tensor.index for tensor in file.tensors if tensor.index in contents},
    )
    for name, index in file.inputs:
        held = name
        if is_wide(file.tensors[index]):
            held = composer.node("Cast", [name], to=TensorProto.FLOAT)[0]
        values.bind(index, Order.FILE, held)
    for operator in operators:
        composer.origin = file.tensors[operator.outputs[0]].name
        readers[operator.index].read(Call(operator, values, orders[operator.index]))
    _name_outputs(file, values, composer)
    return composer.model(
        _described(file, file.inputs), _described(file, file.outputs), file.description or "tflite"
    )


def _fold(operator: FileOperator, contents: Contents, file: TfliteFile) -> bool:
    """Unpacks a constant; whether the operator is done with."""
    source = operator.inputs[0] if operator.inputs else -1
    if operator.kind not in _FOLDED or source not in contents:
        return False
    target = file.tensors[operator.outputs[0]]
    if operator.kind == "DENSIFY":
        contents.fold(target.index, contents.stored(source))
    else:
        real = contents.real(source)
        contents.charge(real.size * target.dtype.itemsize)
        contents.fold(target.index, real.astype(target.dtype))
    return True


def _registration(operator: FileOperator, file: TfliteFile) -> Registration:
    found = registry().find(operator.kind, operator.version)
    if found is None:
        versions = registry().versions(operator.kind)
        name = file.tensors[operator.outputs[0]].name
        reason = (
            f"its version {operator.version} is not known, 1 to {versions[-1]} are"
            if versions
            else "edgewright does not know this operator"
        )
        raise Refusal(
            f"has operator {operator.index} {operator.kind} (output {name!r}): {reason}",
            Remedy.EXPORT,
        )
    return found


def _name_outputs(file: TfliteFile, values: Values, composer: Composer) -> None:
    named = {name for name, _ in file.inputs}
    for name, index in file.outputs:
        value = values.stored(index, Order.FILE)
        if is_wide(file.tensors[index]):
            composer.node("Cast", [value], given=[name], to=TensorProto.INT16)
        elif composer.is_computed(value) and value not in named:
            composer.rename(value, name)
            values.rename(value, name)
        else:  # an input, a constant, or an output already: it needs a name of its own
            composer.node("Identity", [value], given=[name])
        named.add(name)


def _described(file: TfliteFile, boundary: Sequence[tuple[str, int]]) -> list[onnx.ValueInfoProto]:
    infos = []
    for name, index in boundary:
        tensor = file.tensors[index]
        shape = [
            size if size is not None else "batch" if axis == 0 else f"{name}_{axis}"
            for axis, size in enumerate(tensor.shape)
        ]
        kind = helper.np_dtype_to_tensor_dtype(tensor.dtype)
        infos.append(helper.make_tensor_value_info(name, kind, shape))
    return infos
