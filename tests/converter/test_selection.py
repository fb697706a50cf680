import pytest
from edgewright_converter.candidate import Artifact, Candidate, Latency
from edgewright_converter.measure.gates import gate_problem
from edgewright_converter.quantize.selection import choose
from edgewright_converter.request import Gates
from edgewright_manifests.variant import Quality

GATES = Gates()


def candidate(
    accuracy: float | None = 0.9,
    *,
    agreement: float | None = 0.98,
    snr_db: float = 25.0,
    size: int = 100,
    ratio: float = 0.5,
    kernels: str = "",
    float_us: float = 1000,
) -> Candidate:
    quality = Quality(
        samples=1000,
        snr_db=snr_db,
        top1_agreement=agreement,
        accuracy=accuracy,
        accuracy_float=None if accuracy is None else 0.9,
    )
    artifact = Artifact("onnx", "int8", "a recipe", (("model.onnx", b"x" * size),), kernels)
    latency = Latency(float_us * ratio, 1.2 * float_us * ratio, 100, ratio)
    return Candidate(artifact, quality, latency, ())


FLOAT = candidate(agreement=1.0, snr_db=130, size=400, ratio=1.0)


def test_accuracy_may_drop_by_exactly_the_gate() -> None:
    assert gate_problem(candidate(0.89).quality, GATES) == ""
    problem = gate_problem(candidate(0.889).quality, GATES)
    assert problem == ("accuracy 88.90% is 1.10 points below float's 90.00%, at most 1.00 allowed")


def test_without_labels_agreement_is_the_gate_and_without_classes_snr() -> None:
    assert gate_problem(candidate(None, agreement=0.95).quality, GATES) == ""
    assert "94.00% of the answers" in gate_problem(candidate(None, agreement=0.94).quality, GATES)
    assert gate_problem(candidate(None, agreement=None, snr_db=15).quality, GATES) == ""
    assert "SNR 14.0 dB" in gate_problem(candidate(None, agreement=None, snr_db=14).quality, GATES)


def test_nothing_that_passes_means_float_ships_with_every_reason() -> None:
    choice = choose(FLOAT, [candidate(0.5), candidate(0.6)], GATES)
    assert choice.winner is None
    assert all("points below float's" in reason for reason in choice.reasons)


@pytest.mark.parametrize(
    ("better", "told"),
    [
        (candidate(0.899), "accuracy 0.40 points below the winner's"),
        (candidate(0.895, snr_db=27), "equal accuracy, but SNR 2.0 dB below the winner's"),
        (candidate(0.895, size=90), "as good as the winner, and 10 bytes larger"),
        (candidate(0.895, ratio=0.3), "1.67 times as slow as the fastest that passes"),
    ],
)
def test_a_clearly_better_candidate_wins_whatever_its_place(better: Candidate, told: str) -> None:
    worse = candidate(0.895)
    assert choose(FLOAT, [worse, better], GATES).reasons == (told, "")
    assert choose(FLOAT, [better, worse], GATES).reasons == ("", told)


@pytest.mark.parametrize("ratio", [0.46, 0.5, 0.55])
@pytest.mark.parametrize("snr_db", [24.2, 25.0, 25.9])
def test_candidates_within_noise_are_ranked_by_the_fixed_order(ratio: float, snr_db: float) -> None:
    choice = choose(FLOAT, [candidate(), candidate(ratio=ratio, snr_db=snr_db)], GATES)
    assert choice.winner == 0
    assert choice.reasons[1] == "as good as the winner, which comes first in the fixed order"


def test_what_float_beats_in_quality_latency_and_size_never_ships() -> None:
    worse = candidate(0.895, size=401, ratio=1.2)
    choice = choose(FLOAT, [worse], GATES)
    assert choice.winner is None
    assert choice.reasons == ("float is as good or better in quality, latency and size",)


@pytest.mark.parametrize(
    "candidate_",
    [
        candidate(0.895, size=399, ratio=1.2),
        candidate(0.895, size=401, ratio=0.9),
        candidate(0.901, size=401, ratio=1.2),
    ],
)
def test_one_advantage_over_float_is_enough(candidate_: Candidate) -> None:
    assert choose(FLOAT, [candidate_], GATES).winner == 0


def test_candidates_that_compute_the_same_are_equally_fast_whatever_was_measured() -> None:
    same = [candidate(ratio=ratio, kernels="static") for ratio in (0.6, 0.5, 0.4)]
    choice = choose(FLOAT, same, GATES)
    assert choice.winner == 0
    assert set(choice.reasons[1:]) == {
        "as good as the winner, which comes first in the fixed order"
    }


def test_a_smaller_file_that_is_much_slower_ships_only_where_it_was_asked_for() -> None:
    slow = candidate(0.9, size=100, ratio=1.7)
    assert choose(FLOAT, [slow], GATES).winner == 0
    unasked = choose(FLOAT, [slow], GATES, slower_for_smaller=False)
    assert unasked.winner is None
    assert unasked.reasons[0].startswith("1.70 times as slow as float; ")
    a_little = candidate(0.9, size=100, ratio=1.25)
    assert choose(FLOAT, [a_little], GATES, slower_for_smaller=False).winner == 0


@pytest.mark.parametrize("ratio", [1.3, 1.45, 1.6])
def test_a_few_microseconds_decide_nothing_however_noise_turns_them(ratio: float) -> None:
    tiny = candidate(agreement=1.0, snr_db=130, size=400, ratio=1.0, float_us=22)
    small = [candidate(ratio=ratio), candidate(size=120, ratio=1.0)]
    choice = choose(tiny, small, GATES, slower_for_smaller=False)
    assert choice.reasons == ("", "as good as the winner, and 20 bytes larger")


def test_a_few_microseconds_are_no_advantage_of_a_larger_file() -> None:
    tiny = candidate(agreement=1.0, snr_db=130, size=400, ratio=1.0, float_us=22)
    choice = choose(tiny, [candidate(0.895, size=401, ratio=0.8)], GATES)
    assert choice.reasons == ("float is as good or better in quality, latency and size",)


def test_a_much_smaller_file_is_worth_decibels_that_nobody_hears() -> None:
    larger = candidate(snr_db=44, size=200)
    for snr_db, size, wins in ((39, 100, True), (34, 100, False), (39, 180, False)):
        choice = choose(FLOAT, [larger, candidate(snr_db=snr_db, size=size)], GATES)
        assert choice.winner == int(wins), (snr_db, size)
