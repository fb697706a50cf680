"""The transition table: every pair of state and event, one by one."""

import pytest
from edgewright_manifests.messages import UpdateState
from edgewright_runtime.update.states import (
    RESTING,
    SUPERSEDABLE,
    Event,
    ImpossibleEvent,
    next_state,
    possible,
)

# Written out again, the other way around: by event, with what is not here impossible.
EXPECTED = {
    Event.ASSIGNED: {
        "idle": "metadata",
        "failed": "metadata",
        "metadata": "metadata",
        "download": "metadata",
        "stage": "metadata",
        "preflight": "metadata",
        "switch": "switch",
        "probation": "probation",
        "commit": "commit",
        "rollback": "rollback",
    },
    Event.NOTHING: {"metadata": "idle"},
    Event.DONE: {
        "metadata": "download",
        "download": "stage",
        "stage": "preflight",
        "preflight": "switch",
        "switch": "probation",
        "probation": "commit",
        "commit": "idle",
        "rollback": "failed",
    },
    Event.RETRY: {
        state: state
        for state in (
            "metadata", "download", "stage", "preflight", "switch", "probation", "commit",
            "rollback",
        )
    },
    Event.REFUSED: {
        "metadata": "failed",
        "download": "failed",
        "stage": "failed",
        "preflight": "failed",
    },
    Event.BREACHED: {"switch": "rollback", "probation": "rollback"},
}  # fmt: skip  # tables


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", UpdateState)
def test_every_pair_leads_where_it_should_or_is_impossible(
    state: UpdateState, event: Event
) -> None:
    expected = EXPECTED[event].get(state)
    assert possible(state, event) is (expected is not None)
    if expected is None:
        with pytest.raises(ImpossibleEvent, match=f"{event.value}.*{state.value}"):
            next_state(state, event)
    else:
        assert next_state(state, event) == expected


def test_every_state_with_work_leads_to_rest_whatever_happens() -> None:
    reached = {state for state in UpdateState if state in RESTING}
    while True:
        more = {
            state
            for state in UpdateState
            if state not in reached
            and any(
                possible(state, event) and next_state(state, event) in reached for event in Event
            )
        }
        if not more:
            break
        reached |= more
    assert reached == set(UpdateState) - {UpdateState.SHADOW}


def test_before_the_switch_a_refusal_fails_and_after_it_only_a_rollback_does() -> None:
    for state in SUPERSEDABLE:
        assert next_state(state, Event.REFUSED) is UpdateState.FAILED
        assert not possible(state, Event.BREACHED)
    for state in (UpdateState.SWITCH, UpdateState.PROBATION):
        assert next_state(state, Event.BREACHED) is UpdateState.ROLLBACK
        assert not possible(state, Event.REFUSED)
