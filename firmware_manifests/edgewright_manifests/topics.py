"""MQTT topics: `ew/1/{tenant}/d/{device}/...`, built and parsed in one place.

The broker lets a device touch only its own topics, by its certificate's common name.
"""

import re
from typing import NamedTuple

from edgewright_manifests.errors import DocumentError

ROOT = "ew/1"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class DeviceTopics(NamedTuple):
    """The topics of one device."""

    tenant: str
    device: str

    @property
    def _base(self) -> str:
        return f"{ROOT}/{self.tenant}/d/{self.device}"

    @property
    def desired(self) -> str:
        """Retained, QoS 1: messages.Desired, the doorbell."""
        return f"{self._base}/down/desired"

    @property
    def reported(self) -> str:
        """Retained, QoS 1: an envelope around messages.VersionReport."""
        return f"{self._base}/up/reported"

    @property
    def event(self) -> str:
        """QoS 1 from the durable outbox: an envelope around messages.Event."""
        return f"{self._base}/up/event"

    @property
    def telemetry(self) -> str:
        """QoS 0: messages.Telemetry."""
        return f"{self._base}/up/telemetry"

    @property
    def online(self) -> str:
        """Retained: `1` while connected, `0` as the delayed last will."""
        return f"{self._base}/up/online"

    @property
    def rpc_request(self) -> str:
        """Device to server: messages.RpcRequest, with Response Topic and Correlation Data."""
        return f"{self._base}/up/rpc"

    @property
    def rpc_response(self) -> str:
        """Server to device: one chunk a message."""
        return f"{self._base}/down/rpc"


class Upward(NamedTuple):
    """A parsed topic of a device's `up` branch."""

    tenant: str
    device: str
    channel: str
    """`reported`, `event`, `telemetry`, `online` or `rpc`."""


def all_upward(share: str | None = None) -> str:
    """The filter for what every device sends, shared between servers when `share` names a group."""
    topic = f"{ROOT}/+/d/+/up/#"
    return f"$share/{share}/{topic}" if share else topic


def parse_upward(topic: str) -> Upward:
    """Take an `up` topic apart. Raises DocumentError for any other topic."""
    parts = topic.split("/")
    if (
        len(parts) != 7
        or parts[:2] != ROOT.split("/")
        or (parts[3], parts[5]) != ("d", "up")
        or not all(_NAME.fullmatch(parts[n]) for n in (2, 4))
    ):
        raise DocumentError(topic, "is no topic of a device's up branch")
    return Upward(parts[2], parts[4], parts[6])


def check_name(kind: str, name: str) -> str:
    """`name` itself when it may stand in a topic, a path and a certificate's common name.

    Raises DocumentError otherwise.
    """
    if not _NAME.fullmatch(name):
        raise DocumentError(
            f"{kind} {name!r}",
            "is no valid name",
            "use 1 to 63 letters, digits, '.', '_' or '-', starting with a letter or digit",
        )
    return name
