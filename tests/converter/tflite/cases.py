"""A table of one-node models without windows: operator, input shapes, constants, attributes."""

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.converter.tflite.one_node import (
    IMAGE,
    MATRIX,
    SEQUENCE,
    Case,
    floats,
    ints,
    scalar,
    weights,
)
from tests.converter.tflite.side_by_side import Dims, chain, single


def _elementwise() -> list[Case]:
    pair: dict[str, Dims] = {"x": ("n", 4, 3, 5), "z": ("n", 4, 3, 5)}
    cases = []
    for operator in ("Add", "Sub", "Mul", "Div", "Max", "Min"):
        cases.append(Case(f"{operator} two", single(operator, pair)))
        cases.append(Case(f"{operator} scalar", single(operator, IMAGE, {"c": scalar(2.5)})))
        cases.append(Case(f"{operator} channel", single(operator, IMAGE, {"c": weights(4, 1, 1)})))
        cases.append(
            Case(
                f"{operator} constant first",
                single(operator, IMAGE, {"c": weights(1, 4, 9, 7)}, inputs=["c", "x"]),
            )
        )
        broad: dict[str, Dims] = {"x": ("n", 4, 3, 5), "z": (3, 1)}
        cases.append(Case(f"{operator} lower rank", single(operator, broad)))
    integers = {"x": TensorProto.INT64}
    cases += [
        Case("Max three", single("Max", pair, {"c": floats(0.1)})),
        Case("Sum three", single("Sum", {**pair, "w": ("n", 4, 3, 5)})),
        Case("Mean two", single("Mean", pair)),
        Case("Div power of two", single("Div", IMAGE, {"c": floats(4.0)})),
        Case(
            "Add integers",
            single(
                "Add",
                {"x": ("n", 3)},
                {"c": ints(1, 2, 3)},
                dtypes=integers,
                output_dtype=TensorProto.INT64,
            ),
        ),
        Case("Pow 2", single("Pow", IMAGE, {"c": floats(2.0)})),
        Case("Pow 3", single("Pow", IMAGE, {"c": floats(3.0)})),
        Case("Pow integer exponent", single("Pow", IMAGE, {"c": ints(2)})),
        *(
            Case(name, single(name, IMAGE))
            for name in ("Abs", "Ceil", "Cos", "Exp", "Floor", "Neg")
        ),
        *(Case(name, single(name, IMAGE)) for name in ("Round", "Sign", "Sin", "Identity", "Erf")),
        Case("Sqrt", _after_square("Sqrt")),
        Case("Log", _after_square("Log")),
        Case("Reciprocal", _after_square("Reciprocal")),
        Case("Dropout", single("Dropout", IMAGE)),
        Case(
            "Cast",
            single("Cast", IMAGE, to=TensorProto.INT32, output_dtype=TensorProto.INT32),
        ),
        Case(
            "Cast from integers",
            single("Cast", {"x": ("n", 3)}, to=TensorProto.FLOAT, dtypes=integers),
        ),
        Case("Greater", single("Greater", pair, output_dtype=TensorProto.BOOL)),
        Case(
            "Where",
            single("Where", {"c": ("n", 4, 1, 1), **pair}, dtypes={"c": TensorProto.BOOL}),
        ),
    ]
    return cases


def _after_square(operator: str) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["s"]),
        helper.make_node("Add", ["s", "one"], ["t"]),
        helper.make_node(operator, ["t"], ["y"]),
    ]
    return chain(nodes, IMAGE, {"one": floats(1.0)})


def _activations() -> list[Case]:
    return [
        *(
            Case(name, single(name, IMAGE))
            for name in ("Relu", "LeakyRelu", "Elu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid")
        ),
        *(Case(name, single(name, IMAGE)) for name in ("Softplus", "Selu", "Softsign", "Celu")),
        Case("HardSigmoid of a scalar", single("HardSigmoid", {"x": ()})),
        Case("Elu alpha", single("Elu", IMAGE, alpha=1.5)),
        Case("Gelu", single("Gelu", IMAGE, opset=20)),
        Case("Mish", single("Mish", IMAGE, opset=18)),
        Case("HardSigmoid sixth", single("HardSigmoid", IMAGE, alpha=1 / 6, beta=0.5)),
        Case("LeakyRelu alpha", single("LeakyRelu", IMAGE, alpha=0.3)),
        Case("PRelu", single("PRelu", IMAGE, {"s": weights(4, 1, 1)})),
        Case("PRelu shared", single("PRelu", IMAGE, {"s": weights(1)})),
        Case("Clip six", single("Clip", IMAGE, {"a": scalar(0), "b": scalar(6)})),
        Case("Clip one", single("Clip", IMAGE, {"a": scalar(0), "b": scalar(1)})),
        Case("Clip both", single("Clip", IMAGE, {"a": scalar(-1), "b": scalar(1)})),
        Case("Clip low", single("Clip", IMAGE, {"a": scalar(-0.5)})),
        Case("Clip high", single("Clip", IMAGE, {"b": scalar(0.5)}, inputs=["x", "", "b"])),
        Case("Clip opset 6", single("Clip", IMAGE, opset=10, min=-0.25, max=0.75)),
        Case("Softmax", single("Softmax", MATRIX)),
        Case("Softmax channels", single("Softmax", IMAGE, axis=1)),
        Case("Softmax rows", single("Softmax", IMAGE, axis=2)),
        Case("Softmax last", single("Softmax", IMAGE, axis=-1)),
        Case("Softmax flattened", single("Softmax", IMAGE, opset=11, axis=2)),
        Case("LogSoftmax", single("LogSoftmax", MATRIX)),
    ]


def _normalizations() -> list[Case]:
    statistics = {
        "s": weights(4),
        "b": weights(4),
        "m": weights(4),
        "v": np.abs(weights(4)) + 0.1,
    }
    pair = {"s": weights(4), "b": weights(4)}
    row = {"s": weights(7), "b": weights(7)}
    return [
        Case("BatchNormalization", single("BatchNormalization", IMAGE, statistics)),
        Case("BatchNormalization 1d", single("BatchNormalization", SEQUENCE, statistics)),
        Case(
            "BatchNormalization opset 9", single("BatchNormalization", IMAGE, statistics, opset=9)
        ),
        Case("InstanceNormalization", single("InstanceNormalization", IMAGE, pair)),
        Case("LayerNormalization", single("LayerNormalization", IMAGE, row)),
        Case(
            "LayerNormalization axis",
            single("LayerNormalization", IMAGE, {"s": weights(9, 7)}, axis=2),
        ),
        Case("LpNormalization", single("LpNormalization", IMAGE, axis=1)),
        Case("MeanVarianceNormalization", single("MeanVarianceNormalization", IMAGE)),
        Case("LRN", single("LRN", IMAGE, size=3)),
    ]


def _matrices() -> list[Case]:
    w = weights(6, 5)
    cube: dict[str, Dims] = {"x": ("n", 3, 6)}
    return [
        Case("Gemm", single("Gemm", MATRIX, {"w": w, "c": weights(5)})),
        Case("Gemm no addend", single("Gemm", MATRIX, {"w": w})),
        Case(
            "Gemm transposed",
            single("Gemm", MATRIX, {"w": weights(5, 6), "c": weights(5)}, transB=1),
        ),
        Case(
            "Gemm scaled", single("Gemm", MATRIX, {"w": w, "c": weights(1, 5)}, alpha=0.5, beta=2.0)
        ),
        Case("Gemm scalar addend", single("Gemm", MATRIX, {"w": w, "c": weights(1)})),
        Case(
            "Gemm left transposed",
            single("Gemm", {"x": (6, 3)}, {"w": w, "c": weights(3, 5)}, transA=1),
        ),
        Case("Gemm two inputs", single("Gemm", {"x": ("n", 6), "z": (6, 5)}, alpha=2.0)),
        Case("Gemm two inputs transposed", single("Gemm", {"x": ("n", 6), "z": (5, 6)}, transB=1)),
        Case("MatMul", single("MatMul", MATRIX, {"w": w})),
        Case("MatMul rank 3", single("MatMul", cube, {"w": w})),
        Case("MatMul batches", single("MatMul", {"x": ("n", 3, 6), "z": ("n", 6, 4)})),
        Case("MatMul broadcast", single("MatMul", {"x": ("n", 2, 3, 6), "z": (2, 6, 4)})),
        Case(
            "MatMul constant left",
            single("MatMul", {"x": ("n", 6, 2)}, {"w": weights(4, 6)}, inputs=["w", "x"]),
        ),
        Case("MatMul vector", single("MatMul", MATRIX, {"w": weights(6)})),
    ]


def _reductions() -> list[Case]:
    cases = []
    for operator in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2"):
        cases += [
            Case(f"{operator} opset 13", single(operator, IMAGE, opset=13, axes=[2, 3])),
            Case(f"{operator} opset 18", single(operator, IMAGE, {"a": ints(-1, 2)}, opset=18)),
            Case(f"{operator} dropped", single(operator, IMAGE, opset=13, axes=[1], keepdims=0)),
        ]
    cases += [
        Case("ReduceMean spatial dropped", single("ReduceMean", IMAGE, axes=[2, 3], keepdims=0)),
        Case("ReduceMean height dropped", single("ReduceMean", IMAGE, axes=[2], keepdims=0)),
        Case("ReduceMean all", single("ReduceMean", {"x": (2, 3, 4)}, keepdims=0)),
        Case("ReduceSum opset 11", single("ReduceSum", IMAGE, opset=11, axes=[1])),
        Case("ReduceSum opset 13", single("ReduceSum", IMAGE, {"a": ints(1)})),
        Case(
            "ReduceSum no axes",
            single("ReduceSum", IMAGE, {"a": ints()}, noop_with_empty_axes=1),
        ),
        Case("ReduceSumSquare", single("ReduceSumSquare", IMAGE, axes=[1])),
        Case("ReduceLogSumExp", single("ReduceLogSumExp", IMAGE, axes=[1])),
        Case("ArgMax", single("ArgMax", IMAGE, axis=1, output_dtype=TensorProto.INT64)),
        Case(
            "ArgMin dropped",
            single("ArgMin", IMAGE, axis=-1, keepdims=0, output_dtype=TensorProto.INT64),
        ),
    ]
    return cases


def _shapes() -> list[Case]:
    cube: dict[str, Dims] = {"x": ("n", 1, 6)}
    return [
        Case("Reshape 0 -1", single("Reshape", IMAGE, {"s": ints(0, -1)})),
        Case("Reshape -1 k", single("Reshape", IMAGE, {"s": ints(-1, 252)})),
        Case("Reshape 0 split", single("Reshape", IMAGE, {"s": ints(0, 2, 2, 63)})),
        Case("Reshape into batch", single("Reshape", IMAGE, {"s": ints(-1, 9, 7)})),
        Case("Flatten", single("Flatten", IMAGE)),
        Case("Flatten axis 2", single("Flatten", IMAGE, axis=2)),
        Case("Flatten axis 0", single("Flatten", IMAGE, axis=0)),
        *(
            Case(f"Transpose {order}", single("Transpose", IMAGE, perm=order))
            for order in ([0, 2, 3, 1], [0, 3, 1, 2], [3, 2, 1, 0], [0, 1, 3, 2], [1, 0, 2, 3])
        ),
        Case("Squeeze", single("Squeeze", cube, {"a": ints(1)})),
        Case("Squeeze opset 11", single("Squeeze", cube, opset=11, axes=[1])),
        Case("Unsqueeze", single("Unsqueeze", IMAGE, {"a": ints(0, -1)})),
        Case("Unsqueeze opset 11", single("Unsqueeze", SEQUENCE, opset=11, axes=[2])),
        Case("Expand", single("Expand", {"x": (3, 1)}, {"s": ints(2, 1, 6)})),
        *(
            Case(
                f"Concat {axis}",
                single("Concat", {"x": ("n", 4, 3, 5), "z": ("n", 4, 3, 5)}, axis=axis),
            )
            for axis in (0, 1, 2, -1)
        ),
        Case("Concat constant", single("Concat", {"x": (2, 3)}, {"c": weights(1, 3)}, axis=0)),
        Case("Split equal", single("Split", IMAGE, outputs=("y", "z"), axis=1)),
        Case("Split sizes", single("Split", IMAGE, {"s": ints(1, 3)}, outputs=("y", "z"), axis=1)),
        Case(
            "Split opset 18",
            single("Split", IMAGE, outputs=("y", "z"), axis=2, num_outputs=2, opset=18),
        ),
        Case(
            "Split opset 11",
            single("Split", IMAGE, outputs=("y", "z"), axis=3, split=[3, 4], opset=11),
        ),
        Case("Slice", single("Slice", IMAGE, {"a": ints(1, 2), "b": ints(3, 8), "c": ints(1, 2)})),
        Case(
            "Slice steps",
            single(
                "Slice",
                IMAGE,
                {"a": ints(0, 6), "b": ints(9, 1), "c": ints(2, 3), "d": ints(2, -1)},
            ),
        ),
        Case(
            "Slice backwards whole",
            single(
                "Slice",
                IMAGE,
                {"a": ints(-1), "b": ints(-(2**62)), "c": ints(3), "d": ints(-2)},
            ),
        ),
        Case("Slice opset 9", single("Slice", IMAGE, opset=9, axes=[2], starts=[1], ends=[100])),
        Case(
            "Slice negative",
            single("Slice", IMAGE, {"a": ints(-3), "b": ints(-1), "c": ints(-2)}),
        ),
        Case("Gather", single("Gather", IMAGE, {"i": ints(2, 0, -1)}, axis=1)),
        Case("Gather scalar", single("Gather", IMAGE, {"i": np.asarray(1, np.int64)}, axis=2)),
        Case(
            "Gather computed",
            single(
                "Gather",
                {"i": ("n", 3)},
                {"t": weights(5, 6)},
                inputs=["t", "i"],
                dtypes={"i": TensorProto.INT64},
            ),
        ),
        Case("Pad", single("Pad", IMAGE, {"p": ints(0, 1, 2, 0, 0, 0, 1, 3)})),
        Case(
            "Pad value",
            single("Pad", IMAGE, {"p": ints(0, 0, 2, 0, 0, 0, 1, 3), "v": scalar(1.5)}),
        ),
        Case(
            "Pad reflect",
            single("Pad", IMAGE, {"p": ints(0, 0, 2, 1, 0, 0, 1, 3)}, mode="reflect"),
        ),
        Case("Pad edge", single("Pad", IMAGE, {"p": ints(0, 0, 1, 1, 0, 0, 1, 0)}, mode="edge")),
        Case(
            "Pad edge wide", single("Pad", IMAGE, {"p": ints(0, 0, 2, 1, 0, 0, 1, 3)}, mode="edge")
        ),
        Case(
            "Pad opset 10", single("Pad", IMAGE, opset=10, pads=[0, 0, 1, 1, 0, 0, 1, 1], value=2.0)
        ),
        Case("Tile", single("Tile", IMAGE, {"r": ints(1, 2, 1, 3)})),
        Case("DepthToSpace", single("DepthToSpace", {"x": ("n", 8, 3, 2)}, blocksize=2)),
        Case(
            "DepthToSpace CRD",
            single("DepthToSpace", {"x": ("n", 8, 3, 2)}, blocksize=2, mode="CRD"),
        ),
        Case("SpaceToDepth", single("SpaceToDepth", {"x": ("n", 2, 4, 6)}, blocksize=2)),
    ]


CASES = (
    *_elementwise(),
    *_activations(),
    *_normalizations(),
    *_matrices(),
    *_reductions(),
    *_shapes(),
)
