"""What rollouts need of the rest of the fleet; the composition root hands it in.

All calls may block (SQL, signing, fsync): the driver makes them in a worker thread.
"""

import datetime
from collections.abc import Callable, Sequence
from typing import Protocol

from edgewright_fleet.rollouts.model import AssignmentOrder, Member, Rollout, RolloutDevice

Clock = Callable[[], datetime.datetime]
"""The present time, aware, UTC."""


class RolloutStore(Protocol):
    """Rollouts and their devices, kept durably."""

    def rollout(self, rollout_id: str) -> Rollout:
        """The rollout. Raises UnknownName."""

    def rollouts(self) -> Sequence[Rollout]:
        """All of them, newest first."""

    def active(self) -> Sequence[Rollout]:
        """Those that the driver must look at.

        Planned, running or paused ones, and halted or aborted ones with a device whose
        `restore` is `wanted` or `assigned`.
        """

    def devices(self, rollout_id: str) -> Sequence[RolloutDevice]:
        """The rollout's devices by position (the ineligible, -1, anywhere)."""

    def members(self, rollout: Rollout) -> Sequence[Member]:
        """Every device that is in the rollout's group now, or is one of `devices(rollout.id)`.

        A device that left the group or was revoked bears an `ineligible` reason. Raises
        UnknownName when there is no such group or release.
        """

    def save(self, rollout: Rollout, devices: Sequence[RolloutDevice]) -> None:
        """Insert or replace the rollout and these of its devices, in one transaction.

        `rollout.revision` is one more than the stored one (a new rollout has 1).
        Raises ConflictError, and writes nothing, when it is not.
        """


class Director(Protocol):
    """Signs per-device targets and rings the device's doorbell."""

    def assign(self, order: AssignmentOrder) -> int:
        """Sign, store and announce; the assignment number.

        Idempotent by `order.key`: when an assignment of that key exists, announce it
        again and return its number. Raises FleetError when the device can't be given
        it: the driver then records it as failed; a restore is tried again later, but not
        after UnknownName or UnprocessableError (the device is gone or revoked).
        """
