import pytest
from edgewright_converter.measure.gates import gate_problem, share, share_name
from edgewright_converter.measure.metrics import build_metrics, parse_gate, parse_metric
from edgewright_converter.request import Gates
from edgewright_manifests.errors import UsageError
from edgewright_manifests.variant import GroupFigure, MetricFigure, Quality


def quality(*metrics: MetricFigure, **more: float) -> Quality:
    return Quality(samples=500, snr_db=more.get("snr_db", 9.0), metrics=metrics)


def gates(*texts: str) -> Gates:
    return Gates(metrics=tuple(parse_gate(text) for text in texts))


def test_a_gate_is_a_metric_a_sign_and_a_bound() -> None:
    gate = parse_gate("cer:blank=0,output=text <= 0.02")
    assert gate.label == "cer:blank=0,output=text<=0.02"
    assert not gate.at_least
    assert parse_gate("lines:against=truth>=0.95*float").of_float
    assert parse_gate("my.module:score>=-3e-1").bound == -0.3


@pytest.mark.parametrize(
    "text", ["cer", "cer<0.1", "cer<=", "cer<=high", "<=1", "cer==1", "cer<=1*x"]
)
def test_a_gate_that_cannot_be_read_shows_how_one_is_written(text: str) -> None:
    with pytest.raises(UsageError, match="expected METRIC<=NUMBER or METRIC>=NUMBER"):
        parse_gate(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cer>=0.02", "lower is better for cer; use <="),
        ("top1<=0.9", "higher is better for top1; use >="),
        ("lines>=0.9*float", "measure against=truth"),
    ],
)
def test_a_gate_that_asks_for_the_worse_is_refused(text: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        build_metrics([], [parse_gate(text)])
    assert told in str(raised.value)


def test_a_gate_measures_what_nobody_asked_for_and_holds_for_what_was() -> None:
    asked = [parse_metric("cer:blank=-1")]
    assert [m.label for m in build_metrics(asked, [parse_gate("cer<=0.1")])] == ["cer:blank=-1"]
    assert [m.label for m in build_metrics([], [parse_gate("cer<=0.1")])] == ["cer"]
    both = build_metrics(asked, [parse_gate("cer:blank=0<=0.1")])
    assert [m.label for m in both] == ["cer:blank=-1", "cer:blank=0"]


def test_a_bound_is_held_and_may_be_a_share_of_float_s_own_figure() -> None:
    lines = MetricFigure(name="lines:against=truth", value=0.8, value_float=0.84, unit="share")
    assert gate_problem(quality(lines), gates("lines:against=truth>=0.95*float")) == ""
    problem = gate_problem(quality(lines), gates("lines:against=truth>=0.96*float"))
    assert problem == ("lines:against=truth 0.8, at least 0.8064 (of float's 0.84) wanted")
    errors = MetricFigure(name="cer", value=0.03, better="lower", unit="share")
    assert gate_problem(quality(errors), gates("cer<=0.02")) == "cer 0.03, at most 0.02 wanted"
    assert gate_problem(quality(errors), gates("cer<=0.03")) == ""


def test_a_gate_of_a_person_stands_in_for_agreement_and_snr() -> None:
    errors = MetricFigure(name="cer", value=0.0, better="lower", unit="share")
    assert "SNR 9.0 dB" in gate_problem(quality(errors), Gates())
    assert gate_problem(quality(errors), gates("cer<=0.02")) == ""


def test_candidates_are_ranked_by_what_was_asked_for() -> None:
    errors = MetricFigure(name="cer", value=0.03, better="lower", unit="share")
    assert share(quality(errors)) == pytest.approx(0.97)
    assert share_name(quality(errors)) == "cer"
    assert share(quality(MetricFigure(name="snr", value=20.0, unit="dB"))) == 0.0


def group(samples: int, share_float: float, share_now: float, noise: float) -> Quality:
    figure = GroupFigure(
        facet="light", group="night", samples=samples,
        share_float=share_float, share=share_now, noise=noise,
    )  # fmt: skip
    return Quality(samples=1000, snr_db=30, accuracy=0.9, accuracy_float=0.9, worst_group=figure)


def test_a_group_behind_a_good_average_is_held_beyond_noise() -> None:
    assert gate_problem(group(100, 0.9, 0.85, 0.02), Gates()) == ""
    assert gate_problem(group(100, 0.9, 0.82, 0.04), Gates()) == ""
    assert gate_problem(group(100, 0.9, 0.80, 0.03), Gates()) == (
        "light night: 80.00% of its 100 samples, 10.00 points (± 3.00) below the 90.00% of "
        "float, at most 5.00 allowed"
    )
    assert gate_problem(group(100, 0.9, 0.80, 0.03), Gates(max_slice_drop=0.2)) == ""
