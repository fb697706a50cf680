"""STRIDED_SLICE, SLICE, GATHER, GATHER_ND, TOPK_V2, ONE_HOT, REVERSE_V2, FILL, RANGE and kin."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from edgewright_converter.frontend.tflite.call import Call
from edgewright_converter.frontend.tflite.options import (
    GatherOptions,
    OneHotOptions,
    ReverseSequenceOptions,
    StridedSliceOptions,
)
from edgewright_converter.frontend.tflite.order import FILE
from edgewright_converter.frontend.tflite.registry import reads

_END = (1 << 31) - 1


@reads("SLICE", 6, place=FILE)
def slice_(call: Call) -> None:
    """A box that begins at input 1 and is as large as input 2 says (-1: to the end)."""
    axes = call.ints(list(range(call.tensor().rank)))
    if call.constant(1) is not None and call.constant(2) is not None:
        begins, sizes = call.integers(1, "begin"), call.integers(2, "size")
        if len(begins) != len(sizes) or len(begins) != call.tensor().rank:
            call.refuse(f"it begins at {begins} and has the size {sizes}")
        pairs = zip(begins, sizes, strict=True)
        ends = [_END if size == -1 else begin + size for begin, size in pairs]
        inputs = [call.value(), call.ints(begins), call.ints(ends), axes]
        call.give(call.node("Slice", inputs))
        return
    begin, size = call.integer_operand(1), call.integer_operand(2)
    known = call.constant(2)
    if known is not None and (known < 0).any():
        call.refuse("its begin is computed, and a size reaches to the end")
    end = call.node("Add", [begin, size])
    call.give(call.node("Slice", [call.value(), begin, end, axes]))


@reads("STRIDED_SLICE", 8, place=FILE)
def strided_slice(call: Call) -> None:
    """What Python's indexing gives: slices, single indices, new axes and one ellipsis."""
    options, rank = call.options(StridedSliceOptions), call.tensor().rank
    if options.offset:
        call.refuse("its ends are offsets from its begins")
    strides = call.integers(3, "strides")
    begins = _positions(call, 1, len(strides), options.begin_mask)
    ends = _positions(call, 2, len(strides), options.end_mask | options.shrink_axis_mask)
    axis = 0
    axes, starts, stops, steps = [], [], [], []
    new, dropped, out_axis = [], [], 0
    for place, stride in enumerate(strides):
        bit = 1 << place
        if options.ellipsis_mask & bit:
            left = range(place + 1, len(strides))
            skipped = rank - axis - sum(not options.new_axis_mask & (1 << i) for i in left)
            axis, out_axis = axis + skipped, out_axis + skipped
            continue
        if options.new_axis_mask & bit:
            new.append(out_axis)
            out_axis += 1
            continue
        if stride == 0 or axis >= rank:
            call.refuse(f"its strides are {strides} over {rank} axes")
        begin, end = begins[place], ends[place]
        if options.begin_mask & bit:
            begin = 0 if stride > 0 else _END
        if options.end_mask & bit:
            end = _END if stride > 0 else -_END
        if options.shrink_axis_mask & bit:
            end, stride = (begin + 1 if begin != -1 else _END), 1
            dropped.append(axis)
        else:
            out_axis += 1
        axes.append(axis)
        starts.append(begin)
        stops.append(end)
        steps.append(stride)
        axis += 1
    value = call.value()
    if axes:
        bounds = [call.ints(numbers) for numbers in (starts, stops, axes, steps)]
        value = call.node("Slice", [value, *bounds])
    if dropped:
        value = call.node("Squeeze", [value, call.ints(dropped)])
    if new:
        value = call.node("Unsqueeze", [value, call.ints(new)])
    call.give(value)


def _positions(call: Call, position: int, count: int, ignored: int) -> list[int]:
    """Begins or ends; computed ones only where none is looked at."""
    if call.constant(position) is None and ignored == (1 << count) - 1:
        return [0] * count
    numbers = call.integers(position, "begin" if position == 1 else "end")
    if len(numbers) != count:
        call.refuse(f"it has {count} strides and {len(numbers)} positions")
    return numbers


@reads("GATHER", 7, place=FILE)
def gather(call: Call) -> None:
    """Rows along an axis by index."""
    options = call.options(GatherOptions)
    if options.batch_dims:
        call.refuse("it gathers by itself in each batch (batch_dims)")
    axis = call.axis(options.axis, call.tensor().rank)
    call.give(call.node("Gather", [call.value(), call.value(1)], axis=axis))


@reads("EMBEDDING_LOOKUP", 4, place=FILE)
def embedding_lookup(call: Call) -> None:
    """Rows of input 1 by the indices of input 0."""
    call.give(call.node("Gather", [call.value(1), call.value(0)], axis=0))


@reads("GATHER_ND", 5, place=FILE)
def gather_nd(call: Call) -> None:
    """Elements or slices by index tuples."""
    indices = call.node("Cast", [call.value(1)], to=TensorProto.INT64)
    call.give(call.node("GatherND", [call.value(), indices]))


@reads("TOPK_V2", 3, place=FILE)
def topk(call: Call) -> None:
    """The k largest of the last axis, and where they are."""
    count = call.integer_operand(1)
    largest, places = call.composer.node("TopK", [call.value(), count], 2, axis=-1)
    call.give(largest, 0)
    kind = helper.np_dtype_to_tensor_dtype(call.result(1).dtype)
    call.give(call.node("Cast", [places], to=kind), 1)


@reads("ONE_HOT", 1, place=FILE)
def one_hot(call: Call) -> None:
    """A vector for each index: input 2 where it points, input 3 elsewhere."""
    axis = call.options(OneHotOptions).axis
    both = [call.node("Reshape", [call.value(place), call.ints([1])]) for place in (3, 2)]
    values = call.node("Concat", both, axis=0)
    indices = call.node("Cast", [call.value(0)], to=TensorProto.INT64)
    call.give(call.node("OneHot", [indices, call.integer_operand(1), values], axis=axis))


@reads("REVERSE_V2", 3)
def reverse(call: Call) -> None:
    """Backwards along some axes."""
    rank = call.tensor().rank
    axes = [call.axis(axis, rank) for axis in call.integers(1, "axes")]
    bounds = [[-1] * len(axes), [-_END] * len(axes), axes, [-1] * len(axes)]
    call.give(call.node("Slice", [call.value(), *(call.ints(numbers) for numbers in bounds)]))


@reads("REVERSE_SEQUENCE", 1, place=FILE)
def reverse_sequence(call: Call) -> None:
    """The first so many of one axis backwards, for each index of another; ONNX wants both first."""
    options, rank = call.options(ReverseSequenceOptions), call.tensor().rank
    batch, steps = call.axis(options.batch_dim, rank), call.axis(options.seq_dim, rank)
    if batch == steps:
        call.refuse(f"its sequences and its batch are both axis {batch}")
    order = [batch, steps, *(axis for axis in range(rank) if axis not in (batch, steps))]
    lengths = call.node("Cast", [call.value(1)], to=TensorProto.INT64)
    inputs = [call.composer.transpose(call.value(), order), lengths]
    made = call.node("ReverseSequence", inputs, batch_axis=0, time_axis=1)
    call.give(call.composer.transpose(made, [order.index(axis) for axis in range(rank)]))


@reads("SCATTER_ND", 1, place=FILE)
def scatter_nd(call: Call) -> None:
    """Zeros with updates added at index tuples; the same tuple twice adds twice."""
    zero = numpy_helper.from_array(np.zeros(1, call.result().dtype))
    zeros = call.node("ConstantOfShape", [call.integer_operand(2)], value=zero)
    indices = call.node("Cast", [call.value(0)], to=TensorProto.INT64)
    call.give(call.node("ScatterND", [zeros, indices, call.value(1)], reduction="add"))


@reads("FILL", 4, place=FILE)
def fill(call: Call) -> None:
    """One number in the shape that input 0 says."""
    call.give(call.node("Expand", [call.value(1), call.integer_operand(0)]))


@reads("ZEROS_LIKE", 1, place=FILE)
def zeros_like(call: Call) -> None:
    """Zeros in the shape of the input."""
    sizes = call.node("Shape", [call.value()])
    zero = numpy_helper.from_array(np.zeros(1, call.result().dtype))
    call.give(call.node("ConstantOfShape", [sizes], value=zero))


@reads("RANGE", 3, place=FILE)
def range_(call: Call) -> None:
    """Numbers from a start to before a limit by a step."""
    call.give(call.node("Range", [call.value(position) for position in range(3)]))
