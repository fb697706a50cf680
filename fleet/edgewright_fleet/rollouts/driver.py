"""The loop that carries rollouts out: look, decide, save, then act; again after a crash.

Whatever is to be done is in the store before it is done, and the director's orders are
idempotent by key, so a driver that died anywhere in a tick goes on where it was.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import ExitStack

import msgspec

from edgewright_fleet.errors import (
    AuditError,
    ConflictError,
    FleetError,
    UnknownName,
    UnprocessableError,
)
from edgewright_fleet.journal import Journal
from edgewright_fleet.rollouts import rules
from edgewright_fleet.rollouts.model import (
    Member,
    Outcome,
    Restore,
    Rollout,
    RolloutDevice,
    RolloutState,
)
from edgewright_fleet.rollouts.ports import Clock, Director, RolloutStore
from edgewright_fleet.rollouts.rules import Decision, Verdict

LOG = logging.getLogger(__name__)

INTERVAL_S = 1.0
"""How often time-outs and soaks are looked at; reports wake the driver at once."""

_OPERATIONS = {
    Verdict.ADVANCE: "rollout.advance",
    Verdict.HALT: "rollout.halt",
    Verdict.COMPLETE: "rollout.complete",
}
_DEVICE_OPERATIONS = {
    Outcome.COMMITTED: "device.commit",
    Outcome.REFUSED: "device.refuse",
    Outcome.ROLLED_BACK: "device.rollback",
    Outcome.FAILED: "device.fail",
    Outcome.TIMED_OUT: "device.time-out",
}


class RolloutDriver:
    """Drives every active rollout of one store; one driver at a time may run on a store.

    `tick` is the whole of it and blocks; `run` calls it in a worker thread, on a timer and
    whenever `wake` was called.
    """

    def __init__(
        self,
        store: RolloutStore,
        director: Director,
        journal: Journal,
        clock: Clock,
        *,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._store = store
        self._director = director
        self._journal = journal
        self._clock = clock
        self._interval_s = interval_s
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self) -> None:
        """Drive until cancelled. A fault of the store or director is logged and tried again."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                self._woken.clear()
                try:
                    await asyncio.to_thread(self.tick)
                except AuditError:
                    raise  # what cannot be recorded must not be done
                except FleetError as error:
                    LOG.warning("rollout tick failed, trying again: %s", error)
                try:
                    async with asyncio.timeout(self._interval_s):
                        await self._woken.wait()
                except TimeoutError:
                    pass
        finally:
            self._loop = None

    def wake(self) -> None:
        """Look now instead of at the next interval. Safe from any thread, and before `run`."""
        loop = self._loop
        if loop is None:
            return  # `run` looks first thing
        try:
            loop.call_soon_threadsafe(self._woken.set)
        except RuntimeError:
            LOG.debug("rollout driver woken while its loop closes")

    def tick(self) -> None:
        """Take every active rollout as far as it goes now. Blocks.

        Raises FleetError when the store fails; what was saved holds and is taken up again.
        """
        for rollout in self._store.active():
            try:
                while self._step(rollout.id):
                    pass
            except ConflictError as error:
                # An operator saved in between; the next tick decides on what is there then.
                LOG.info("rollout %s changed under the driver: %s", rollout.id, error)
                self.wake()

    def _step(self, rollout_id: str) -> bool:
        """One decision. Whether another may follow at once."""
        now = self._clock()
        rollout = self._store.rollout(rollout_id)
        devices = tuple(self._store.devices(rollout_id))
        members = {member.device: member for member in self._store.members(rollout)}
        seen = rules.observe(rollout, devices, tuple(members.values()), now)
        decision = rules.decide(rollout, seen, now)
        changed, after = rules.apply(rollout, seen, decision, members, now)
        with ExitStack() as recorded:
            self._record(recorded, rollout, devices, after, decision)
            rollout = self._save(rollout, changed, devices, after)
            self._act(rollout, after, members)
        return decision.verdict is not Verdict.HOLD

    def _record(
        self,
        recorded: ExitStack,
        rollout: Rollout,
        devices: Sequence[RolloutDevice],
        after: Sequence[RolloutDevice],
        decision: Decision,
    ) -> None:
        before = {device.device: device for device in devices}
        release = f"release:{rollout.model}/{rollout.version}"
        for device in after:
            was = before.get(device.device)
            operation = _DEVICE_OPERATIONS.get(device.outcome)
            if operation and (was is None or was.outcome is not device.outcome):
                recorded.enter_context(
                    self._journal.operation(
                        operation,
                        user=f"device:{device.device}",
                        resources=(f"device:{device.device}", f"rollout:{rollout.id}", release),
                        rollback_available=device.previous is not None,
                        model=(rollout.model, rollout.version),
                        detail=device.reason,
                    )
                )
        if (operation := _OPERATIONS.get(decision.verdict)) is not None:
            recorded.enter_context(
                self._journal.operation(
                    operation,
                    user="fleet",
                    resources=(
                        f"rollout:{rollout.id}",
                        f"group:{rollout.group}",
                        release,
                        *(f"device:{device}" for device in decision.assign),
                    ),
                    rollback_available=True,
                    model=(rollout.model, rollout.version),
                    detail=decision.reason,
                )
            )
        restored = [
            device.device
            for device in after
            if device.restore is Restore.WANTED
            and (was := before.get(device.device)) is not None
            and was.restore is Restore.NONE
        ]
        if restored:
            recorded.enter_context(
                self._journal.operation(
                    "rollout.restore",
                    user="fleet",
                    resources=(f"rollout:{rollout.id}", *(f"device:{name}" for name in restored)),
                    model=(rollout.model, rollout.version),
                    detail=decision.reason,
                )
            )

    def _save(
        self,
        rollout: Rollout,
        changed: Rollout,
        before: Sequence[RolloutDevice],
        after: Sequence[RolloutDevice],
    ) -> Rollout:
        """Save what differs; the rollout as it is stored now."""
        stored = {device.device: device for device in before}
        differing = [device for device in after if stored.get(device.device) != device]
        # The words alone ("12 s left") are worked out anew by whoever asks.
        if not differing and msgspec.structs.replace(changed, reason=rollout.reason) == rollout:
            return rollout
        changed = msgspec.structs.replace(changed, revision=rollout.revision + 1)
        self._store.save(changed, differing)
        if changed.state is not rollout.state:
            LOG.info("rollout %s is %s: %s", changed.id, changed.state, changed.reason)
        return changed

    def _act(
        self, rollout: Rollout, devices: Sequence[RolloutDevice], members: dict[str, Member]
    ) -> None:
        """Give the director what it is still to sign, and note the numbers."""
        after = {device.device: device for device in devices}
        for order in rules.orders(rollout, devices):
            device = after[order.device]
            restoring = device.restore is Restore.WANTED
            # An operator may have paused or aborted since; what is signed is hard to unsay.
            if not restoring and not self._running(rollout):
                break
            try:
                number = self._director.assign(order)
            except (ConflictError, AuditError):
                raise
            except FleetError as error:
                LOG.warning("rollout %s: %s was not assigned: %s", rollout.id, order.device, error)
                after[order.device] = self._unassignable(rollout, device, error)
                continue
            after[order.device] = (
                msgspec.structs.replace(device, restore=Restore.ASSIGNED, restore_assignment=number)
                if restoring
                else msgspec.structs.replace(device, assignment=number, assigned_at=self._clock())
            )
        self._save(rollout, rollout, devices, tuple(after.values()))

    def _running(self, rollout: Rollout) -> bool:
        return self._store.rollout(rollout.id).state is RolloutState.RUNNING

    def _unassignable(
        self, rollout: Rollout, device: RolloutDevice, error: FleetError
    ) -> RolloutDevice:
        if device.restore is Restore.WANTED:
            # A device that is gone or revoked gets nothing more; else the next tick tries again.
            gone = isinstance(error, UnknownName | UnprocessableError)
            return msgspec.structs.replace(device, restore=Restore.FAILED) if gone else device
        reason = f"could not be assigned: {error}"
        with self._journal.operation(
            _DEVICE_OPERATIONS[Outcome.FAILED],
            user="fleet",
            resources=(f"device:{device.device}", f"rollout:{rollout.id}"),
            model=(rollout.model, rollout.version),
            detail=reason,
        ):
            return msgspec.structs.replace(
                device, outcome=Outcome.FAILED, reason=reason, settled_at=self._clock()
            )
