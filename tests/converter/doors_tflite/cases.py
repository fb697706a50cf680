"""Operators that our own writer does not write, or writes in one way only."""

from typing import Any, NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.converter.doors_tflite.one_operator import Array, Single, options

_RANDOM = np.random.default_rng(11)


class Case(NamedTuple):
    """One operator; `name` says what is special about it."""

    name: str
    single: Single


def _floats(*shape: int) -> Array:
    return _RANDOM.standard_normal(shape).astype(np.float32)


def _ints(*numbers: int) -> Array:
    return np.asarray(numbers, np.int32)


def _of(
    name: str,
    kind: str,
    x: Array,
    shape: tuple[int, ...],
    *constants: Array | None,
    dtype: str = "float32",
    table: Any = None,  # see Single.options
) -> Case:
    return Case(name, Single(kind, ["x", *constants], {"x": x}, [(shape, dtype)], table))


def _windows() -> list[Case]:
    same, valid = schema.Padding.SAME, schema.Padding.VALID
    image, cases = _floats(1, 9, 8, 4), []
    for padding, height, width in ((same, 5, 4), (valid, 4, 3)):
        table = options("Conv2D", padding=padding, strideH=2, strideW=2)
        table.fusedActivationFunction = schema.ActivationFunctionType.RELU_N1_TO_1
        cases.append(
            _of(
                f"conv padding {padding}", "CONV_2D", image, (1, height, width, 6),
                _floats(6, 3, 3, 4), _floats(6), table=table,
            )
        )  # fmt: skip  # one line of names, one of weights
    grouped = options("Conv2D", padding=same, strideH=1, strideW=1)
    dilated = options("DepthwiseConv2D", padding=same, strideH=1, strideW=1)
    dilated.dilationHFactor = dilated.dilationWFactor = dilated.depthMultiplier = 2
    transposed = options("TransposeConv", padding=same, strideH=2, strideW=2)
    cut = options("TransposeConv", padding=valid, strideH=2, strideW=2)
    volume = options("Conv3D", padding=same, strideD=1, strideH=2, strideW=2)
    pool = options("Pool2D", padding=same, strideH=2, strideW=2, filterHeight=3, filterWidth=2)
    weights = _floats(5, 3, 3, 4)
    return [
        *cases,
        _of("conv in groups", "CONV_2D", image, (1, 9, 8, 6), _floats(6, 3, 3, 2), _floats(6),
            table=grouped),
        _of("depthwise dilated twice", "DEPTHWISE_CONV_2D", image, (1, 9, 8, 8),
            _floats(1, 3, 3, 8), _floats(8), table=dilated),
        Case("transposed same", Single("TRANSPOSE_CONV", [_ints(1, 17, 16, 5), weights, "x"],
             {"x": image}, [((1, 17, 16, 5), "float32")], transposed)),
        Case("transposed valid", Single("TRANSPOSE_CONV", [_ints(1, 19, 18, 5), weights, "x",
             _floats(5)], {"x": image}, [((1, 19, 18, 5), "float32")], cut, version=3)),
        _of("conv of volumes", "CONV_3D", _floats(1, 4, 6, 6, 2), (1, 4, 3, 3, 3),
            _floats(3, 3, 3, 2, 3), _floats(3), table=volume),
        _of("average pool", "AVERAGE_POOL_2D", image, (1, 5, 4, 4), table=pool),
        _of("max pool", "MAX_POOL_2D", image, (1, 5, 4, 4), table=pool),
    ]  # fmt: skip  # a table


def _resizes() -> list[Case]:
    cases, image = [], _floats(1, 5, 4, 3)
    for kind, name in (("RESIZE_BILINEAR", "ResizeBilinear"),
                       ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighbor")):  # fmt: skip
        for corners, centers in ((False, False), (True, False), (False, True)):
            for height, width in ((10, 8), (7, 9), (3, 2)):
                table = options(name, alignCorners=corners, halfPixelCenters=centers)
                told = f"{kind} to {height}x{width} corners={corners} centers={centers}"
                sizes = _ints(height, width)
                cases.append(_of(told, kind, image, (1, height, width, 3), sizes, table=table))
    return cases


def _slices() -> list[Case]:
    x, four, filler = _floats(3, 4, 5), np.asarray(4, np.int32), np.asarray(1.5, np.float32)

    def strided(
        name: str, shape: tuple[int, ...], begin: Array, end: Array, stride: Array, **masks: int
    ) -> Case:
        table = options("StridedSlice", **masks)
        return _of(f"strided {name}", "STRIDED_SLICE", x, shape, begin, end, stride, table=table)

    return [
        strided("x[:, ::2, 1:-1]", (3, 2, 3), _ints(0, 0, 1), _ints(0, 0, -1), _ints(1, 2, 1),
                beginMask=3, endMask=3),
        strided("x[:, -1]", (3, 5), _ints(0, -1), _ints(0, 0), _ints(1, 1), beginMask=1,
                endMask=1, shrinkAxisMask=2),
        strided("x[::-1, 3:0:-2]", (3, 2, 5), _ints(0, 3), _ints(0, 0), _ints(-1, -2),
                beginMask=1, endMask=1),
        strided("x[1, ..., None, 2]", (4, 1), _ints(1, 0, 0, 2), _ints(2, 0, 0, 3),
                _ints(1, 1, 1, 1), ellipsisMask=2, newAxisMask=4, shrinkAxisMask=9),
        _of("slice", "SLICE", x, (2, 4, 3), _ints(1, 0, 2), _ints(2, -1, 3)),
        Case("slice from computed begin", Single("SLICE", ["x", "b", _ints(1, 2, 2)],
             {"x": x, "b": _ints(2, 1, 0)}, [((1, 2, 2), "float32")])),
        _of("gather", "GATHER", x, (3, 2, 5), _ints(2, 0), table=options("Gather", axis=1)),
        _of("gather_nd", "GATHER_ND", x, (2, 5), np.asarray([[0, 1], [2, 3]], np.int32)),
        Case("embedding", Single("EMBEDDING_LOOKUP", ["i", _floats(7, 3)], {"i": _ints(6, 0, 3)},
             [((3, 3), "float32")])),
        Case("top k", Single("TOPK_V2", ["x", _ints(2)], {"x": x},
             [((3, 4, 2), "float32"), ((3, 4, 2), "int32")])),
        Case("one hot", Single("ONE_HOT", ["i", four, filler, -filler], {"i": _ints(0, 3, 1)},
             [((3, 4), "float32")], options("OneHot", axis=-1))),
        _of("reverse", "REVERSE_V2", x, (3, 4, 5), _ints(1)),
        Case("fill", Single("FILL", ["s", "v"], {"s": _ints(2, 3), "v": filler},
             [((2, 3), "float32")])),
        _of("reverse sequences", "REVERSE_SEQUENCE", x, (3, 4, 5), _ints(2, 5, 1, 3),
            table=options("ReverseSequence", seqDim=2, batchDim=1)),
        Case("scatter", Single("SCATTER_ND", [np.asarray([[0, 1], [2, 0], [0, 1]], np.int32), "u",
             _ints(3, 2)], {"u": _floats(3)}, [((3, 2), "float32")])),
        Case("angle", Single("ATAN2", ["y", "x"], {"y": x, "x": x[::-1].copy()},
             [((3, 4, 5), "float32")])),
        _of("zeros like", "ZEROS_LIKE", x, (3, 4, 5)),
    ]  # fmt: skip  # a table


def _shapes() -> list[Case]:
    x = _floats(2, 1, 3, 4)
    keep = options("Reducer", keepDims=True)
    mirror = options("MirrorPad", mode=schema.MirrorPadMode.SYMMETRIC)
    pads = np.asarray([[0, 0], [1, 1], [2, 3], [0, 1]], np.int32)
    return [
        _of("squeeze all", "SQUEEZE", x, (2, 3, 4)),
        _of("squeeze one", "SQUEEZE", x, (2, 3, 4), table=options("Squeeze", squeezeDims=[1])),
        _of("expand", "EXPAND_DIMS", x, (2, 1, 3, 1, 4), _ints(-2)),
        _of("shape", "SHAPE", x, (4,), dtype="int32",
            table=options("Shape", outType=schema.TensorType.INT32)),
        _of("tile", "TILE", x, (2, 2, 3, 12), _ints(1, 2, 1, 3)),
        Case("reshape to computed", Single("RESHAPE", ["x", "s"], {"x": x, "s": _ints(4, 6)},
             [((4, 6), "float32")])),
        _of("reshape by options", "RESHAPE", x, (6, 4), table=options("Reshape", newShape=[6, 4])),
        Case("split in two", Single("SPLIT", [np.asarray(3, np.int32), "x"], {"x": x},
             [((2, 1, 3, 2), "float32")] * 2, options("Split", numSplits=2))),
        Case("split with a rest", Single("SPLIT_V", ["x", _ints(1, -1), np.asarray(2, np.int32)],
             {"x": x}, [((2, 1, 1, 4), "float32"), ((2, 1, 2, 4), "float32")],
             options("SplitV", numSplits=2))),
        Case("unpack", Single("UNPACK", ["x"], {"x": x}, [((2, 1, 4), "float32")] * 3,
             options("Unpack", num=3, axis=2))),
        Case("pack", Single("PACK", ["x", "x"], {"x": x}, [((2, 1, 2, 3, 4), "float32")],
             options("Pack", axis=2, valuesCount=2))),
        _of("space to batch", "SPACE_TO_BATCH_ND", _floats(1, 5, 6, 2), (6, 2, 3, 2), _ints(3, 2),
            np.asarray([[1, 0], [0, 0]], np.int32)),
        _of("batch to space", "BATCH_TO_SPACE_ND", _floats(6, 2, 3, 2), (1, 5, 6, 2), _ints(3, 2),
            np.asarray([[1, 0], [0, 0]], np.int32)),
        _of("pad", "PAD", x, (2, 3, 8, 5), pads),
        _of("mirror with the edge", "MIRROR_PAD", _floats(2, 2, 3, 4), (2, 4, 8, 5), pads,
            table=mirror),
        _of("mean keeping axes", "MEAN", x, (2, 1, 1, 4), _ints(2), table=keep),
        _of("sum", "SUM", x, (2, 4), _ints(1, -2), table=options("Reducer")),
        _of("product", "REDUCE_PROD", x, (2, 1, 3), _ints(3), table=options("Reducer")),
        _of("any", "REDUCE_ANY", x > 1, (2, 1, 4), _ints(2), dtype="bool",
            table=options("Reducer")),
        _of("all", "REDUCE_ALL", x > -1, (2, 1, 4), _ints(2), dtype="bool",
            table=options("Reducer")),
        _of("arg max", "ARG_MAX", x, (2, 1, 3), _ints(-1), dtype="int32",
            table=options("ArgMax", outputType=schema.TensorType.INT32)),
        _of("running sums", "CUMSUM", x, (2, 1, 3, 4), np.asarray(2, np.int32),
            table=options("Cumsum", exclusive=True, reverse=True)),
    ]  # fmt: skip  # a table


def _elementwise() -> list[Case]:
    x, y = _floats(2, 3, 4, 5), _floats(4, 5)
    row = _floats(5)
    cases = []
    for kind in ("FLOOR_DIV", "FLOOR_MOD", "SQUARED_DIFFERENCE", "MAXIMUM"):
        single = Single(kind, ["x", "y"], {"x": x, "y": y}, [((2, 3, 4, 5), "float32")])
        cases.append(Case(kind.lower(), single))
    for kind in ("NOT_EQUAL", "LESS_EQUAL"):
        single = Single(kind, ["x", row], {"x": x}, [((2, 3, 4, 5), "bool")])
        cases.append(Case(kind.lower(), single))
    for kind in ("SQUARE", "RELU6", "RELU_N1_TO_1", "HARD_SWISH", "ELU", "SIGN", "ROUND"):
        cases.append(_of(kind.lower(), kind, x, (2, 3, 4, 5)))
    return [
        *cases,
        Case("rsqrt", Single("RSQRT", ["x"], {"x": np.abs(x) + 0.1}, [((2, 3, 4, 5), "float32")])),
        Case("sum of three", Single("ADD_N", ["x", "x", "x"], {"x": x},
             [((2, 3, 4, 5), "float32")])),
        Case("select", Single("SELECT_V2", [np.asarray([True, False, True, False, True]), "x", "y"],
             {"x": x, "y": y}, [((2, 3, 4, 5), "float32")])),
        _of("cast", "CAST", x * 5, (2, 3, 4, 5), dtype="int32"),
        _of("prelu", "PRELU", x, (2, 3, 4, 5), _floats(1, 1, 5)),
        _of("leaky", "LEAKY_RELU", x, (2, 3, 4, 5), table=options("LeakyRelu", alpha=0.3)),
        _of("softmax with beta", "SOFTMAX", x, (2, 3, 4, 5), table=options("Softmax", beta=0.5)),
        _of("unit length", "L2_NORMALIZATION", x, (2, 3, 4, 5), table=options("L2Norm")),
        _of("local response", "LOCAL_RESPONSE_NORMALIZATION", x, (2, 3, 4, 5),
            table=options("LocalResponseNormalization", radius=1, bias=1.5, alpha=0.2, beta=0.75)),
        _of("gelu", "GELU", x, (2, 3, 4, 5), table=options("Gelu")),
        _of("gelu by tanh", "GELU", x, (2, 3, 4, 5), table=options("Gelu", approximate=True)),
    ]  # fmt: skip  # a table


def _matrices() -> list[Case]:
    x = _floats(2, 3, 4)
    keep = options("FullyConnected", keepNumDims=True)
    keep.fusedActivationFunction = schema.ActivationFunctionType.RELU
    both = options("BatchMatMul", adjX=True, adjY=True)
    lstm = options("UnidirectionalSequenceLSTM", timeMajor=False)
    lstm.fusedActivationFunction = schema.ActivationFunctionType.TANH
    rnn = options("SequenceRNN", timeMajor=True)
    rnn.fusedActivationFunction = schema.ActivationFunctionType.TANH
    units = 5
    gates: list[Array | str | tuple[int, ...] | None] = ["x"]
    gates += [_floats(units, 4) for _ in range(4)] + [_floats(units, units) for _ in range(4)]
    peepholes = [_floats(units) for _ in range(3)]
    biases = [_floats(units) for _ in range(4)]
    rest: list[Array | str | tuple[int, ...] | None] = [None, None, (2, units), (2, units)]
    rest += [None] * 4
    shape = ((2, 3, units), "float32")
    return [
        _of("rows, flattened", "FULLY_CONNECTED", x, (6, 5), _floats(5, 4), _floats(5),
            table=options("FullyConnected")),
        _of("rows, axes kept", "FULLY_CONNECTED", x, (2, 3, 5), _floats(5, 4), None, table=keep),
        Case("matrices, both turned", Single("BATCH_MATMUL", ["x", "y"],
             {"x": _floats(2, 4, 3), "y": _floats(5, 4)}, [((2, 3, 5), "float32")], both)),
        Case("lstm", Single("UNIDIRECTIONAL_SEQUENCE_LSTM",
             [*gates, None, None, None, *biases, *rest], {"x": x}, [shape], lstm)),
        Case("lstm with peepholes", Single("UNIDIRECTIONAL_SEQUENCE_LSTM",
             [*gates, *peepholes, *biases, *rest], {"x": x}, [shape], lstm)),
        Case("rnn, time first", Single("UNIDIRECTIONAL_SEQUENCE_RNN",
             ["x", _floats(units, 4), _floats(units, units), _floats(units), (3, units)],
             {"x": x}, [shape], rnn)),
    ]  # fmt: skip  # a table


CASES = [*_windows(), *_resizes(), *_slices(), *_shapes(), *_elementwise(), *_matrices()]
