"""A table of one-node models that pick and put elements by indices."""

from typing import Any

import numpy as np
from onnx import TensorProto

from tests.converter.tflite.one_node import IMAGE, Case, floats, ints, weights
from tests.converter.tflite.side_by_side import Dims, single

_INT64 = TensorProto.INT64


def _gathers() -> list[Case]:
    cube: dict[str, Dims] = {"x": (3, 4, 5)}
    picks = np.random.default_rng(3).integers(-3, 3, (3, 2, 5))
    return [
        Case("GatherElements", single("GatherElements", cube, {"i": picks}, axis=1)),
        Case("GatherElements trimmed", single("GatherElements", cube, {"i": picks[:2, :, :4]})),
        Case(
            "GatherElements computed",
            single(
                "GatherElements",
                {"x": ("n", 4, 5), "i": ("n", 4, 2)},
                axis=2,
                dtypes={"i": _INT64},
            ),
        ),
        Case("GatherND", single("GatherND", cube, {"i": ints(0, -1, 2, 3).reshape(2, 2)})),
        Case(
            "GatherND batches",
            single("GatherND", cube, {"i": ints(0, 1, 2).reshape(3, 1)}, batch_dims=1),
        ),
        Case(
            "GatherND computed",
            single("GatherND", {**cube, "i": (2, 2)}, dtypes={"i": _INT64}),
        ),
        Case(
            "OneHot",
            single(
                "OneHot",
                {"x": ("n", 3)},
                {"d": ints(4), "v": floats(-1.0, 2.0)},
                dtypes={"x": _INT64},
                axis=1,
            ),
        ),
        Case("Hardmax", single("Hardmax", IMAGE, axis=1)),
        Case("Hardmax flattened", single("Hardmax", {"x": (2, 3, 4)}, opset=11, axis=1)),
        Case("Compress", single("Compress", IMAGE, {"c": np.asarray([True, False, True])}, axis=2)),
        Case(
            "Compress flattened",
            single("Compress", {"x": (3, 2)}, {"c": np.asarray([False, True, True, False, True])}),
        ),
        Case(
            "ReverseSequence",
            single("ReverseSequence", {"x": (5, 2, 3)}, {"l": ints(5, 2)}, time_axis=0),
        ),
        *(
            Case(
                f"TopK largest {largest} axis {axis}",
                single(
                    "TopK",
                    IMAGE,
                    {"k": ints(3)},
                    outputs=("y", "i"),
                    dtypes={"i": _INT64},
                    axis=axis,
                    largest=largest,
                ),
            )
            for largest, axis in ((1, -1), (0, 1))
        ),
    ]


def _scatters() -> list[Case]:
    rows: dict[str, Dims] = {"x": (4, 3)}
    twice = {"i": ints(1, 3, 1).reshape(3, 1), "u": weights(3, 3)}
    once = {"i": ints(-1, 0).reshape(2, 1), "u": weights(2, 3)}
    elements: dict[str, np.ndarray[Any, Any]] = {"i": ints(0, 2, 0, 3, -1, 1).reshape(2, 3)}
    return [
        Case("ScatterND", single("ScatterND", rows, once)),
        Case(
            "ScatterND computed",
            single("ScatterND", {**rows, "u": (1, 3), "i": (1, 1)}, inputs=["x", "i", "u"],
                   dtypes={"i": _INT64}),
        ),
        *(
            Case(f"ScatterND {kind}", single("ScatterND", rows, twice, reduction=kind, opset=18))
            for kind in ("add", "mul", "max", "min")
        ),
        Case("ScatterElements", single("ScatterElements", rows, {**elements, "u": weights(2, 3)})),
        Case(
            "ScatterElements axis",
            single("ScatterElements", rows, {"i": ints(2, 0).reshape(1, 2), "u": weights(1, 2)},
                   axis=1),
        ),
        Case(
            "ScatterElements add computed updates",
            single("ScatterElements", {**rows, "u": (2, 3)}, elements, inputs=["x", "i", "u"],
                   reduction="add", opset=18),
        ),
    ]  # fmt: skip


def _extremes() -> list[Case]:
    return [
        Case(
            f"{operator} last axis {axis}",
            single(operator, {"x": (2, 4, 3)}, axis=axis, select_last_index=1, output_dtype=_INT64),
        )
        for operator in ("ArgMax", "ArgMin")
        for axis in (0, 2)
    ]


INDEXING_CASES = (*_gathers(), *_scatters(), *_extremes())
