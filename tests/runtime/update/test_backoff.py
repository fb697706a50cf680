"""Full jitter: from nothing up to a growing, bounded ceiling."""

from edgewright_runtime.update.backoff import Backoff


def test_the_ceiling_doubles_up_to_its_cap_and_starts_again_after_success() -> None:
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    backoff = Backoff(first_s=1, cap_s=10, uniform=uniform)
    assert [backoff.next_s() for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert {low for low, _ in asked} == {0.0}
    backoff.reset()
    assert backoff.next_s() == 1
