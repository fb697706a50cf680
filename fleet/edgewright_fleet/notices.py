"""What happens when a device was heard: the console is told, the rollout driver looks."""

from collections.abc import Callable

from edgewright_manifests.messages import Event, VersionReport

from edgewright_fleet.api import Changes


class Notices:
    """The link's Listener. Called in worker threads."""

    def __init__(self, changes: Changes, wake: Callable[[], None]) -> None:
        self._changes = changes
        self._wake = wake

    def reported(self, report: VersionReport) -> None:
        """A device reported something new."""
        self._changes.notify("devices", "rollouts", "audit")
        self._wake()

    def happened(self, event: Event) -> None:
        """A step of an update."""
        self._changes.notify("rollouts", "audit")
        self._wake()

    def online(self, device: str, online: bool) -> None:
        """A device came or went."""
        self._changes.notify("devices")
        self._wake()

    def measured(self, device: str) -> None:
        """Fresh telemetry of a device."""
        self._changes.notify("devices")
