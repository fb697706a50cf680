"""Which samples the report shows, and in what words."""

import numpy as np
from edgewright_converter.differences import find_differences
from edgewright_converter.measure import Reference

EYE = np.eye(4, dtype=np.float32)


def test_changed_answers_come_first_the_surest_before_the_others() -> None:
    want = EYE[[0, 1, 2, 3, 0]] * np.array([[9], [9], [2], [5], [1]], np.float32)
    have = want.copy()
    have[1] = [0, 8.9, 0, 0]  # nearly the same
    have[2] = [2.5, 0, 2, 0]  # changed, and float was not sure
    have[3] = [0, 5.5, 0, 5]  # changed, and float was
    reference = Reference({"y": want}, np.array([0, 1, 2, 3, 0]))
    found = find_differences(reference, {"y": have})
    assert [one.sample for one in found] == [3, 2, 1]  # the others are answered exactly alike
    assert [one.changed for one in found] == [True, True, False]
    assert found[0].label == 3
    assert found[0].answer_float == "class 3 (98%)"
    assert found[0].answer == "class 1 (62%)"


def test_without_classes_the_worst_signal_to_noise_comes_first() -> None:
    want = np.ones((3, 2, 2), np.float32) * 3
    have = want.copy()
    have[0] *= 0.99
    have[2] *= 0.5
    found = find_differences(Reference({"y": want}, None), {"y": have})
    assert [(one.sample, one.changed, one.label) for one in found] == [
        (2, False, None),
        (0, False, None),
    ]
    assert abs(found[0].snr_db - 6.0) < 0.05
    assert found[0].answer == "1.5 1.5 1.5 1.5"


def test_a_sequence_is_told_by_its_best_symbols() -> None:
    want = EYE[[[0, 2, 2, 1, 0]]]
    have = EYE[[[0, 2, 3, 1, 0]]]
    (found,) = find_differences(Reference({"y": want}, None), {"y": have})
    assert found.answer_float == "symbols 0 2 1 0"
    assert found.answer == "symbols 0 2 3 1 0"
