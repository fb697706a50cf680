"""When a release may stay, by the policy's figures."""

import pytest
from edgewright_manifests.messages import Figures
from edgewright_manifests.release import ProbationPolicy
from edgewright_runtime.update.probation import Finding, Judgement, judge_probation

POLICY = ProbationPolicy(duration_s=60, min_requests=20, max_error_rate=0.05, max_latency_ratio=2.0)
WAIT, KEEP, BACK = Judgement.WAIT, Judgement.KEEP, Judgement.TAKE_BACK

CASES = {
    "nothing yet": (0, 0, None, 1.0, 0, WAIT),
    "good, but too early": (100, 0, 1.0, 1.0, 59, WAIT),
    "good and long enough": (100, 0, 1.0, 1.0, 60, KEEP),
    "long enough, too few requests": (19, 0, 1.0, 1.0, 60, WAIT),
    "quiet for five times as long": (3, 0, 1.0, 1.0, 300, KEEP),
    "no request at all for five times as long": (0, 0, None, 1.0, 300, KEEP),
    "no request at all, not quite as long": (0, 0, None, 1.0, 299, WAIT),
    "errors at the limit": (100, 5, 1.0, 1.0, 60, KEEP),
    "errors over the limit, at once": (20, 2, 1.0, 1.0, 1, BACK),
    "errors over the limit, too few requests to say": (10, 5, 1.0, 1.0, 1, WAIT),
    "errors over the limit, few requests, time is up": (10, 5, 1.0, 1.0, 60, BACK),
    "every request failed": (20, 20, None, 1.0, 1, BACK),
    "slower, within the limit": (100, 0, 2.0, 1.0, 60, KEEP),
    "too slow, too few requests to say": (19, 0, 9.0, 1.0, 10, WAIT),
    "too slow, but nothing to compare with": (100, 0, 9.0, None, 60, KEEP),
}


@pytest.mark.parametrize("name", CASES)
def test_the_judgement_is_the_policys(name: str) -> None:
    requests, errors, median, baseline, elapsed, expected = CASES[name]
    figures = Figures(requests=requests, errors=errors, latency_ms_p50=median)
    found = judge_probation(figures, POLICY, baseline_ms_p50=baseline, elapsed_s=elapsed)
    assert found.judgement is expected
    assert "\n" not in found.reason


def test_too_slow_counts_when_it_is_found_twice_in_a_row() -> None:
    figures = Figures(requests=50, errors=0, latency_ms_p50=5.0)
    first = judge_probation(figures, POLICY, baseline_ms_p50=1.0, elapsed_s=10)
    assert first.judgement is WAIT
    second = judge_probation(figures, POLICY, baseline_ms_p50=1.0, elapsed_s=11, previously=first)
    assert second.judgement is BACK
    assert "5 ms under live load is 5.0 times the previous release's 1 ms" in second.reason
    calm = Finding(WAIT, "50 of 20 live requests")
    assert (
        judge_probation(
            figures, POLICY, baseline_ms_p50=1.0, elapsed_s=11, previously=calm
        ).judgement
        is WAIT
    )


def test_a_policy_without_a_minimum_commits_a_device_that_nobody_asks() -> None:
    policy = ProbationPolicy(duration_s=1, min_requests=0)
    figures = Figures(requests=0, errors=0)
    found = judge_probation(figures, policy, baseline_ms_p50=None, elapsed_s=1)
    assert found.judgement is KEEP
