"""What an operator does to a rollout: start, pause, resume, abort, look."""

import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import msgspec
from edgewright_manifests.topics import check_name

from edgewright_fleet.errors import ConflictError
from edgewright_fleet.journal import Journal, OperationRecord
from edgewright_fleet.rollouts import rules, transitions
from edgewright_fleet.rollouts.model import (
    NewRollout,
    Outcome,
    Restore,
    Rollout,
    RolloutDevice,
    RolloutState,
    RolloutStatus,
)
from edgewright_fleet.rollouts.order import check_phases
from edgewright_fleet.rollouts.ports import Clock, RolloutStore

_Changed = tuple[Rollout, Sequence[RolloutDevice]]

SAVE_TRIES = 8
"""The driver saves a rollout a few times a second at most; losing eight races means a fault."""


class RolloutOperations:
    """Each call blocks (SQL, fsync): call it in a worker thread.

    `wake` is called after every change, so that the driver looks at once; it must be
    safe to call from any thread (RolloutDriver.wake is).
    """

    def __init__(
        self,
        store: RolloutStore,
        journal: Journal,
        clock: Clock,
        *,
        wake: Callable[[], None] = lambda: None,
        new_suffix: Callable[[], str] = lambda: secrets.token_hex(2),
    ) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._wake = wake
        self._new_suffix = new_suffix
        self._starting = threading.Lock()

    def start(self, asked: NewRollout, *, user: str, command: str = "") -> RolloutStatus:
        """Begin a rollout; the driver makes the first assignments.

        Raises UnknownName for a group or release that does not exist, ConflictError when
        an unfinished rollout has one of the devices or the id is taken.
        """
        check_phases(asked.phases)
        rules.check_policy(asked.policy)
        name = asked.id or f"{asked.model}-{asked.version}-{self._new_suffix()}"
        check_name("rollout", name)
        now = self._clock()
        rollout = Rollout(
            id=name,
            model=asked.model,
            version=asked.version,
            group=asked.group,
            phases=asked.phases,
            policy=asked.policy,
            created_by=user,
            created_at=now,
            state=RolloutState.RUNNING,
            phase_started_at=now,
            reason="about to assign",
            revision=1,
        )
        members = self._store.members(rollout)
        with (
            self._starting,
            self._operation("start", rollout, user, command, asked.change_ticket) as record,
        ):
            self._refuse_overlap(rollout, [member.device for member in members])
            devices = rules.plan(rollout, members)
            record.add_resources(*(f"device:{device.device}" for device in devices))
            self._store.save(rollout, devices)
        self._wake()
        return self.status(name)

    def pause(
        self, rollout_id: str, *, user: str, command: str = "", change_ticket: str | None = None
    ) -> RolloutStatus:
        """Assign nothing more until `resume`; devices under way go on. Raises ConflictError."""

        def change(rollout: Rollout) -> _Changed:
            return transitions.pause(rollout, f"paused by {user}"), ()

        return self._move("pause", rollout_id, user, command, change_ticket, change)

    def resume(
        self, rollout_id: str, *, user: str, command: str = "", change_ticket: str | None = None
    ) -> RolloutStatus:
        """Go on with a paused rollout. Raises ConflictError."""

        def change(rollout: Rollout) -> _Changed:
            return transitions.resume(rollout, f"resumed by {user}"), ()

        return self._move("resume", rollout_id, user, command, change_ticket, change)

    def abort(
        self,
        rollout_id: str,
        *,
        user: str,
        command: str = "",
        change_ticket: str | None = None,
        rollback: bool = False,
    ) -> RolloutStatus:
        """End it for good: devices that did not commit get their previous release back.

        With `rollback` those that committed in this rollout go back too. Raises
        ConflictError when it has ended already.
        """

        def change(rollout: Rollout) -> _Changed:
            devices = self._store.devices(rollout_id)
            return transitions.abort(
                rollout, devices, f"aborted by {user}", self._clock(), rollback=rollback
            )

        return self._move("abort", rollout_id, user, command, change_ticket, change)

    def status(self, rollout_id: str) -> RolloutStatus:
        """The rollout with its devices and counts. Raises UnknownName."""
        rollout = self._store.rollout(rollout_id)
        return rules.status(rollout, self._store.devices(rollout_id), self._clock())

    def all(self) -> Sequence[Rollout]:
        """Every rollout, newest first."""
        return self._store.rollouts()

    def _move(
        self,
        verb: str,
        rollout_id: str,
        user: str,
        command: str,
        change_ticket: str | None,
        change: Callable[[Rollout], _Changed],
    ) -> RolloutStatus:
        rollout = self._store.rollout(rollout_id)
        with self._operation(verb, rollout, user, command, change_ticket) as record:
            for attempt in range(1, SAVE_TRIES + 1):
                rollout = self._store.rollout(rollout_id)
                changed, devices = change(rollout)
                try:
                    self._store.save(
                        msgspec.structs.replace(changed, revision=rollout.revision + 1), devices
                    )
                    break
                except ConflictError:  # the driver saved in between: decide again on what is now
                    if attempt == SAVE_TRIES:
                        raise
            restored = [d for d in devices if d.restore is Restore.WANTED]
            record.add_resources(*(f"device:{device.device}" for device in restored))
        self._wake()
        return self.status(rollout_id)

    def _operation(
        self, verb: str, rollout: Rollout, user: str, command: str, change_ticket: str | None
    ) -> AbstractContextManager[OperationRecord]:
        return self._journal.operation(
            f"rollout.{verb}",
            user=user,
            command=command,
            resources=(
                f"rollout:{rollout.id}",
                f"group:{rollout.group}",
                f"release:{rollout.model}/{rollout.version}",
            ),
            change_ticket=change_ticket,
            rollback_available=True,
            model=(rollout.model, rollout.version),
        )

    def _refuse_overlap(self, rollout: Rollout, devices: Sequence[str]) -> None:
        wanted = set(devices)
        for other in self._store.active():
            if other.state.final:
                continue
            for device in self._store.devices(other.id):
                if device.device in wanted and device.outcome is not Outcome.INELIGIBLE:
                    raise ConflictError(
                        f"rollout {rollout.id}: device {device.device} is in rollout {other.id}, "
                        f"which is {other.state}; abort that one or wait until it is complete"
                    )
