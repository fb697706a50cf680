"""Pads a channels-last tensor's spatial axes: by TFLite's SAME and VALID where they fit, by zeros,
by mirrored edges, or by any constant.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.builder import Tensor
from edgewright_converter.emit.tflite.emission import Emission
from edgewright_converter.graph.windows import Pads, Windows

_Op = schema.BuiltinOperator


def fits_valid(windows: Windows) -> bool:
    """Whether TFLite's VALID gives the same windows without a pad."""
    return all(pad == (0, 0) for pad in windows.reach)


def fits_same(windows: Windows) -> bool:
    """Whether TFLite's SAME, which puts its odd element at the end, places the same windows."""
    for axis, (begin, _) in enumerate(windows.pads):
        if windows.outputs[axis] != -(-windows.sizes[axis] // windows.strides[axis]):
            return False
        covered = (windows.outputs[axis] - 1) * windows.strides[axis] + windows.extent(axis)
        total = max(covered - windows.sizes[axis], 0)
        if begin != total // 2:
            return False
    return True


def pad_spatial(emission: Emission, tensor: Tensor, pads: Pads) -> Tensor:
    """Zeros around the spatial axes of a channels-last tensor; the tensor itself where there are
    none.
    """
    return pad_axes(emission, tensor, ((0, 0), *pads, (0, 0)))


def pad_axes(emission: Emission, tensor: Tensor, pads: Pads, value: float | None = None) -> Tensor:
    """The tensor with constants (zeros where no value is given) around its axes, as they lie in
    memory.
    """
    if all(pad == (0, 0) for pad in pads):
        return tensor
    inputs = [tensor, emission.builder.constant(np.asarray(pads, np.int32))]
    type_ = emission.padded(tensor.type, pads)
    if value is None or value == 0:
        return emission.operator(_Op.PAD, inputs, type_, schema.PadOptionsT())
    filling = emission.builder.constant(np.asarray([value], tensor.type.dtype))
    return emission.operator(_Op.PADV2, [*inputs, filling], type_, schema.PadV2OptionsT())


def mirror_axes(emission: Emission, tensor: Tensor, pads: Pads, *, edge_twice: bool) -> Tensor:
    """The tensor with its own elements mirrored around its axes; `edge_twice` repeats the edge
    itself.
    """
    options = schema.MirrorPadOptionsT()
    modes = schema.MirrorPadMode
    options.mode = modes.SYMMETRIC if edge_twice else modes.REFLECT
    inputs = [tensor, emission.builder.constant(np.asarray(pads, np.int32))]
    type_ = emission.padded(tensor.type, pads)
    return emission.operator(_Op.MIRROR_PAD, inputs, type_, options)
