"""The evaluator's picking, writing and recurrent operations, by figures made by hand."""

import numpy as np
import pytest
from edgewright_converter.measure.mil_evaluator.errors import OperationUnknown

from tests.converter.coreml.test_evaluator import compute


def test_gather_along_axis_picks_each_place_by_its_own_index() -> None:
    x = np.asarray([[1, 2], [3, 4]], np.float32)
    indices = np.asarray([[0, 0], [1, 0]], np.int32)
    assert compute("gather_along_axis", x=x, indices=indices, axis=1).tolist() == [[1, 1], [4, 3]]


def test_gather_nd_picks_slices_within_each_batch() -> None:
    x = np.asarray([[[0, 1], [2, 3]], [[4, 5], [6, 7]]], np.float32)
    indices = np.asarray([[1], [0]], np.int32)
    found = compute("gather_nd", x=x, indices=indices, batch_dims=1)
    assert found.tolist() == [[2, 3], [4, 5]]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("update", [1, 9, 3]), ("add", [1, 13, 3]), ("mul", [1, 36, 3]), ("max", [1, 9, 3])],
)
def test_scatter_nd_folds_updates_of_one_place_one_after_the_other(
    mode: str, expected: list[float]
) -> None:
    found = compute(
        "scatter_nd", data=np.asarray([1, 2, 3], np.float32), mode=mode,
        indices=np.asarray([[1], [1]], np.int32), updates=np.asarray([2, 9], np.float32),
    )  # fmt: skip
    assert found.tolist() == expected


def test_an_index_that_the_specification_leaves_open_is_an_error() -> None:
    with pytest.raises(OperationUnknown, match="outside its axis"):
        compute(
            "gather_along_axis", x=np.zeros((2, 2), np.float32), axis=0,
            indices=np.full((2, 2), -1, np.int32),
        )  # fmt: skip


def test_reverse_sequence_turns_only_the_first_elements() -> None:
    x = np.asarray([[1, 2, 3], [4, 5, 6]], np.float32)
    lengths = np.asarray([2, 3], np.int32)
    found = compute("reverse_sequence", x=x, lengths=lengths, seq_axis=1, batch_axis=0)
    assert found.tolist() == [[2, 1, 3], [6, 5, 4]]


def test_pad_type_same_puts_the_odd_element_to_the_end() -> None:
    x, weight = np.asarray([[[1, 2, 3, 4]]], np.float32), np.ones((1, 1, 3), np.float32)
    for kind, expected in (("same", [6, 7]), ("same_lower", [3, 9])):
        found = compute("conv", x=x, weight=weight, strides=[2], pad_type=kind)
        assert found[0, 0].tolist() == expected
