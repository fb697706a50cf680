"""Each metric against figures worked out by hand or by another, plainer way."""

import math

import numpy as np
import pytest
from edgewright_converter.errors import ConverterError
from edgewright_converter.measure.metrics import KINDS, Answers, Metric, build_metrics, parse_metric
from edgewright_manifests.errors import UsageError
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgewright_converter.measure.metrics.boxes import overlap  # isort: skip
from edgewright_converter.measure.metrics.sequence import decode_ctc, edit_distance  # isort: skip

Floats = NDArray[np.float32]


def metric(text: str) -> Metric:
    (built,) = build_metrics([parse_metric(text)], [])
    return built


def answers(
    reference: Floats, outputs: Floats, *, name: str = "y", **known: NDArray[np.generic]
) -> Answers:
    return Answers({name: reference}, {name: outputs}, known.get("labels"), known.get("truth"))  # type: ignore[arg-type]  # the tests give the right ones


def one_hot(classes: list[int], count: int) -> Floats:
    return np.eye(count, dtype=np.float32)[classes]


def test_agreement_is_of_the_arg_max_and_of_the_five_best() -> None:
    reference = one_hot([0, 1, 2, 3], 8)
    outputs = one_hot([0, 1, 2, 7], 8)
    outputs[3, 3] = 0.5  # the float model's answer comes second there
    assert metric("top1").measure(answers(reference, outputs)) == 0.75
    assert metric("top5").measure(answers(reference, outputs)) == 1.0


def test_accuracy_is_by_labels_and_k() -> None:
    outputs = one_hot([0, 1, 2, 3], 4)
    outputs[:, 0] += 0.5
    known = answers(one_hot([0, 1, 2, 3], 4), outputs, labels=np.array([0, 1, 0, 0]))
    assert metric("accuracy").measure(known) == 0.5
    assert metric("accuracy:k=2").measure(known) == 1.0
    with pytest.raises(ConverterError, match="needs the right classes; add an array `labels`"):
        metric("accuracy").measure(answers(outputs, outputs))


def test_cosine_is_of_each_sample_and_two_zero_vectors_are_equal() -> None:
    reference = np.array([[1, 0], [1, 1], [0, 0], [0, 1]], np.float32)
    outputs = np.array([[2, 0], [1, -1], [0, 0], [0, 0]], np.float32)
    found = metric("cosine").measure(answers(reference, outputs))
    assert found == pytest.approx((1 + 0 + 1 + 0) / 4)


def test_snr_is_ten_times_the_logarithm_of_the_powers() -> None:
    reference = np.ones((4, 10), np.float32)
    found = metric("snr").measure(answers(reference, reference * np.float32(0.9)))
    assert found == pytest.approx(20, abs=1e-4)


def test_a_mask_overlaps_over_all_samples_and_by_class() -> None:
    reference = np.zeros((2, 1, 2, 2), np.float32)
    outputs = np.zeros((2, 1, 2, 2), np.float32)
    reference[0, 0, 0] = 1  # two pixels
    outputs[0, 0, :, 0] = 1  # two pixels, one of them the same
    assert metric("iou").measure(answers(reference, outputs)) == pytest.approx(1 / 3)
    assert metric("iou").measure(answers(outputs * 0, outputs * 0)) == 1.0
    classes = one_hot([0, 1, 1, 1], 2).T.reshape(1, 2, 4)
    other = one_hot([0, 0, 1, 1], 2).T.reshape(1, 2, 4)
    found = metric("iou:classes=argmax").measure(answers(classes, other))
    assert found == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_frames_agree_by_the_threshold_and_with_the_truth_where_asked() -> None:
    reference = np.array([[0.1], [0.6], [0.7], [0.2]], np.float32)
    outputs = np.array([[0.1], [0.6], [0.4], [0.2]], np.float32)
    truth = np.array([0, 0, 1, 0])
    assert metric("frames").measure(answers(reference, outputs)) == 0.75
    by_truth = metric("frames:against=truth")
    assert by_truth.measure(answers(reference, outputs, truth=truth)) == 0.5
    with pytest.raises(ConverterError, match="needs what is right; add an array `truth`"):
        by_truth.measure(answers(reference, outputs))


def steps(lines: list[list[int]], symbols: int = 5) -> Floats:
    return np.stack([one_hot(line, symbols) for line in lines])


def test_ctc_takes_repeats_and_blanks_out() -> None:
    assert decode_ctc(np.array([0, 1, 1, 0, 1, 2, 2, 0]), 0) == (1, 1, 2)
    assert decode_ctc(np.array([4, 0, 0, 4, 4]), 4) == (0,)
    assert decode_ctc(np.array([0, 0]), 0) == ()


def test_character_errors_are_edits_per_right_symbol() -> None:
    reference = steps([[1, 0, 2, 3], [1, 1, 1, 0]])
    outputs = steps([[1, 0, 2, 2], [1, 1, 1, 0]])
    assert metric("cer").measure(answers(reference, outputs)) == pytest.approx(1 / 4)
    assert metric("lines").measure(answers(reference, outputs)) == 0.5
    truth = np.array([[1, 2, -1], [4, 4, 4]])
    right = answers(reference, outputs, truth=truth)
    assert metric("cer:against=truth").measure(right) == pytest.approx((0 + 3) / 5)
    assert metric("cer:against=truth").measure(right.of_float()) == pytest.approx((1 + 3) / 5)


def test_the_last_symbol_may_be_the_blank_and_symbols_may_come_before_steps() -> None:
    reference = steps([[4, 0, 0, 4]])
    outputs = steps([[4, 0, 4, 0]])
    found = metric("lines:blank=-1,layout=nct")
    turned = answers(reference.transpose(0, 2, 1), outputs.transpose(0, 2, 1))
    assert found.measure(turned) == 0.0
    assert metric("cer:decode=argmax").measure(answers(reference, outputs)) == 0.5


@given(st.lists(st.integers(0, 3), max_size=9), st.lists(st.integers(0, 3), max_size=9))
def test_the_edit_distance_is_the_plain_recursion_s(first: list[int], second: list[int]) -> None:
    known: dict[tuple[int, int], int] = {}

    def plain(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        if (i, j) not in known:
            same = plain(i - 1, j - 1) + (first[i - 1] != second[j - 1])
            known[i, j] = min(same, plain(i - 1, j) + 1, plain(i, j - 1) + 1)
        return known[i, j]

    assert edit_distance(first, second) == plain(len(first), len(second))


def test_overlap_is_the_shared_area_over_the_whole() -> None:
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 5, 5]], np.float64)
    found = overlap(boxes, boxes)
    assert found[0, 1] == pytest.approx(1 / 7)
    assert found[0, 0] == 1.0
    assert found[2].max() == 0.0  # a box without area overlaps nothing


def found_boxes(
    *boxes: tuple[float, float, float, float, float], rows: int = 6
) -> dict[str, Floats]:
    """One sample's outputs: boxes [1, rows, 4] and scores [1, rows]."""
    places, scores = np.zeros((1, rows, 4), np.float32), np.zeros((1, rows), np.float32)
    for index, (*box, score) in enumerate(boxes):
        places[0, index], scores[0, index] = box, score
    return {"b": places, "s": scores}


DETECTOR = "boxes=b,scores=s"


def test_recall_counts_what_the_variant_finds_again() -> None:
    reference = found_boxes((0, 0, 10, 10, 0.9), (20, 20, 30, 30, 0.8), (50, 50, 60, 60, 0.1))
    outputs = found_boxes((1, 0, 11, 10, 0.9), (40, 20, 50, 30, 0.8))
    both = Answers(reference, outputs)
    assert metric(f"recall:{DETECTOR}").measure(both) == 0.5
    assert metric(f"recall:{DETECTOR},iou=0.9").measure(both) == 0.0
    assert metric(f"recall:{DETECTOR}").measure(both.of_float()) == 1.0


def test_suppression_leaves_one_box_of_many_and_each_reference_is_found_once() -> None:
    crowd = found_boxes((0, 0, 10, 10, 0.9), (0, 0, 10, 11, 0.8), (0, 1, 10, 10, 0.7))
    alone = found_boxes((0, 0, 10, 10, 0.9))
    assert metric(f"map:{DETECTOR}").measure(Answers(alone, crowd)) == 1.0
    assert metric(f"recall:{DETECTOR},nms=0").measure(Answers(crowd, alone)) == pytest.approx(1 / 3)


def test_average_precision_is_the_area_under_the_curve() -> None:
    """Three to find; of the variant's ranked hit, miss, hit: 1/3 * 1 + 1/3 * 2/3."""
    reference = found_boxes((0, 0, 9, 9, 0.9), (20, 0, 29, 9, 0.9), (40, 0, 49, 9, 0.9))
    outputs = found_boxes((0, 0, 9, 9, 0.9), (70, 0, 79, 9, 0.8), (20, 0, 29, 9, 0.7))
    found = metric(f"map:{DETECTOR}").measure(Answers(reference, outputs))
    assert found == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)


def test_a_detector_that_finds_what_is_not_there_is_told_by_map() -> None:
    nothing, something = found_boxes(), found_boxes((0, 0, 9, 9, 0.9))
    assert metric(f"map:{DETECTOR}").measure(Answers(nothing, nothing)) == 1.0
    assert metric(f"map:{DETECTOR}").measure(Answers(nothing, something)) == 0.0


def test_yolo_s_one_output_and_truth_boxes_with_classes() -> None:
    whole = np.zeros((1, 6, 8), np.float32)  # centre, size, two classes; eight candidates
    whole[0, :, 0] = [5, 5, 10, 10, 0.9, 0]
    whole[0, :, 1] = [25, 5, 10, 10, 0, 0.9]
    truth = np.array([[[0, 0, 10, 10, 0], [20, 0, 30, 10, 0], [0, 0, 0, 0, -1]]])
    known = answers(whole, whole, truth=truth)
    options = "layout=yolo,form=cxcywh,against=truth"
    assert metric(f"recall:{options}").measure(known) == 0.5  # the second is of another class
    assert metric(f"map:{options}").measure(known) == 0.5


def test_anchors_match_by_their_row_and_logits_by_the_sigmoid() -> None:
    """All boxes are offsets from their anchors, so the same numbers in two rows are two places."""
    reference, outputs = found_boxes((0, 0, 4, 4, 3.0)), found_boxes((9, 9, 10, 10, -9.0))
    outputs["b"][0, 1], outputs["s"][0, 1] = (0, 0, 4, 4), 3.0
    options = f"{DETECTOR},form=cxcywh,activation=sigmoid,nms=0,score=0.9"
    both = Answers(reference, outputs)
    assert metric(f"recall:{options}").measure(both) == 1.0
    assert metric(f"recall:{options},match=row").measure(both) == 0.0


@pytest.mark.parametrize("name", sorted(KINDS))
def test_the_float_model_is_perfect_against_itself(name: str) -> None:
    rng = np.random.default_rng(3)
    outputs = {
        "y": rng.random((6, 5)).astype(np.float32),
        "t": rng.random((6, 7, 5)).astype(np.float32),
        "b": np.sort(rng.random((6, 9, 4)).astype(np.float32), axis=2),
        "s": rng.random((6, 9)).astype(np.float32),
    }
    more = {
        "cer": ":output=t", "lines": ":output=t", "custom": ":function=math:hypot",
        "recall": f":{DETECTOR}", "map": f":{DETECTOR}", "accuracy": "",
    }  # fmt: skip
    if name == "custom":
        return  # test_custom_metrics has it
    labels = outputs["y"].argmax(axis=1)
    found = metric(name + more.get(name, "")).measure(Answers(outputs, outputs, labels))
    assert found == pytest.approx({"cer": 0.0, "snr": 200.0}.get(name, 1.0))
    assert math.isfinite(found)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("topp1", "is unknown; did you mean top1?"),
        ("zzzzzz", "is unknown; there are snr, cosine"),
        ("cer:blnk=0", "no option 'blnk'; it has output, decode, blank, layout, against"),
        ("cer:blank=x", "blank=x: expected a whole number from -1"),
        ("cer:decode=beam", "decode=beam: expected ctc or argmax"),
        ("frames:threshold=high", "threshold=high: expected a number"),
        ("recall:score=2", "score=2: expected a number from 0 to 1"),
        ("cer:blank", "expected NAME, NAME:option=value,... or module:function"),
        ("Cer", "expected NAME"),
        ("custom", "give function=..."),
    ],
)
def test_a_metric_that_is_not_there_or_not_so_is_told(text: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        metric(text)
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("text", "outputs", "told"),
    [
        ("cer", {"y": np.zeros((2, 3), np.float32)}, "takes an output of 3 axes"),
        (
            "top1:output=z",
            {"y": np.zeros((2, 3), np.float32)},
            "has no output 'z'; it has y [2, 3]",
        ),
        ("recall", {"y": np.zeros((2, 3), np.float32)}, "say which outputs are which"),
        ("recall:boxes=y,scores=y", {"y": np.zeros((2, 3), np.float32)}, "boxes are [2, 3]"),
        ("map:layout=yolo", {"y": np.zeros((2, 3, 9), np.float32)}, "[n, 4 + classes, boxes]"),
    ],
)
def test_outputs_that_a_metric_cannot_judge_are_told_with_their_shapes(
    text: str, outputs: dict[str, Floats], told: str
) -> None:
    with pytest.raises(ConverterError) as raised:
        metric(text).measure(Answers(outputs, outputs))
    assert told in str(raised.value)
