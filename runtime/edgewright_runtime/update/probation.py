"""Whether a release that serves may go on serving: rules only, no I/O and no clock.

The server answers a request that the new release fails with the previous one, so an
error here cost no caller an answer; it is counted against the new release.
"""

from enum import StrEnum
from typing import NamedTuple

from edgewright_manifests.messages import Figures
from edgewright_manifests.release import ProbationPolicy

QUIET_FACTOR = 5
"""A device without traffic commits after this many times the policy's duration."""


class Judgement(StrEnum):
    """What to do now."""

    WAIT = "wait"
    KEEP = "keep"
    TAKE_BACK = "take back"


class Finding(NamedTuple):
    """A judgement and its reason, one line for people."""

    judgement: Judgement
    reason: str


def judge_probation(
    figures: Figures,
    policy: ProbationPolicy,
    *,
    baseline_ms_p50: float | None,
    elapsed_s: float,
    previously: Finding | None = None,
) -> Finding:
    """Hold what the new release has done in `elapsed_s` against the policy.

    `baseline_ms_p50` is the previous release's median latency on this device under the
    same live load; None when there was none to measure, and latency is not judged then.
    Too slow must be found twice in a row (`previously` is the last finding): a busy
    moment of the board is no property of the release.
    """
    over = elapsed_s >= policy.duration_s
    enough = figures.requests >= policy.min_requests
    if figures.requests and (enough or over):
        rate = figures.errors / figures.requests
        if rate > policy.max_error_rate:
            return Finding(
                Judgement.TAKE_BACK,
                f"failed {figures.errors} of {figures.requests} live requests "
                f"({rate:.1%}), at most {policy.max_error_rate:.1%} allowed",
            )
    if enough and baseline_ms_p50 and figures.latency_ms_p50 is not None:
        ratio = figures.latency_ms_p50 / baseline_ms_p50
        if ratio > policy.max_latency_ratio:
            reason = (
                f"median latency {figures.latency_ms_p50:.3g} ms under live load is {ratio:.1f} "
                f"times the previous release's {baseline_ms_p50:.3g} ms, at most "
                f"{policy.max_latency_ratio:g} times allowed"
            )
            again = previously is not None and previously.reason.startswith("median latency")
            return Finding(Judgement.TAKE_BACK if again else Judgement.WAIT, reason)
    if over and enough:
        return Finding(
            Judgement.KEEP, f"held up for {elapsed_s:.0f} s and {figures.requests} live requests"
        )
    if elapsed_s >= policy.duration_s * QUIET_FACTOR:
        return Finding(
            Judgement.KEEP, f"held up for {elapsed_s:.0f} s with {figures.requests} live requests"
        )
    return Finding(
        Judgement.WAIT,
        f"{figures.requests} of {policy.min_requests} live requests, "
        f"{elapsed_s:.0f} of {policy.duration_s:.0f} s",
    )
