"""What the update engine asks of the serving process, in the control protocol's words."""

import logging
from pathlib import Path
from typing import NamedTuple, Protocol

from edgewright_manifests.messages import Figures

from edgewright_runtime.control import (
    AnyReply,
    AnyRequest,
    Done,
    Generation,
    Load,
    Loaded,
    Measure,
    Measured,
    Refused,
    Status,
    Switch,
    Unload,
)
from edgewright_runtime.errors import ControlFault, RuntimeFault

_log = logging.getLogger(__name__)


class Control(Protocol):
    """A way to ask the server; edgewright_runtime.control_client.ControlClient is one."""

    def ask_blocking(self, request: AnyRequest, *, timeout_s: float | None = None) -> AnyReply:
        """The reply. Raises ControlFault when there is none."""


class ServerRefused(RuntimeFault):
    """The server answered, and would not; what it serves is as before."""


class Release(NamedTuple):
    """A release in a slot, as the server is told of it."""

    model: str
    generation: str
    folder: Path


class Switching:
    """Moves the server from one release to another and back. Every call may be repeated."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def status(self) -> Loaded:
        """What is loaded. Raises ControlFault."""
        reply = self._ask(Status())
        if not isinstance(reply, Loaded):
            raise ControlFault(f"the server answered {type(reply).__name__} to Status")
        return reply

    def load(self, release: Release) -> None:
        """Load and warm beside what serves. Raises ServerRefused, ControlFault."""
        self._ask(Load(release.model, release.generation, str(release.folder)))

    def switch(self, release: Release, *, keep_previous: bool) -> None:
        """Serve `release`, unless it is served already. Raises ServerRefused, ControlFault."""
        if self.serves(release) and (not keep_previous or self._has(release.model, "fallback")):
            return
        self._ask(Switch(release.model, release.generation, keep_previous))

    def unload(self, release: Release) -> None:
        """Drain and free `release`, if it is loaded. Raises ControlFault, ServerRefused."""
        if any(
            (found.model, found.generation) == release[:2] for found in self.status().generations
        ):
            self._ask(Unload(release.model, release.generation))

    def serves(self, release: Release) -> bool:
        """Whether new requests go to `release`. Raises ControlFault."""
        active = self.active(release.model)
        return active is not None and active.generation == release.generation

    def active(self, model: str) -> Generation | None:
        """What serves this model. Raises ControlFault."""
        for found in self.status().generations:
            if found.model == model and found.role == "active":
                return found
        return None

    def figures(self, release: Release, *, reset: bool = False) -> Figures | None:
        """What the server counted for `release`; None when it does not have it (any more).

        Raises ControlFault.
        """
        try:
            reply = self._ask(Measure(release.model, release.generation, reset))
        except ServerRefused:
            return None
        if not isinstance(reply, Measured):
            raise ControlFault(f"the server answered {type(reply).__name__} to Measure")
        return Figures(
            requests=reply.requests,
            errors=reply.errors,
            latency_ms_p50=reply.latency_ms_p50,
            latency_ms_p99=reply.latency_ms_p99,
        )

    def restore_fallback(self, release: Release, previous: Release) -> None:
        """After a restart: have `previous` stand behind `release` again.

        The server knows a fallback only as what served before a switch, so the previous
        release serves for a moment. Raises ControlFault, ServerRefused.
        """
        if self._has(release.model, "fallback") or previous.model != release.model:
            return
        self.load(previous)
        self._ask(Switch(previous.model, previous.generation, keep_previous=True))
        self._ask(Switch(release.model, release.generation, keep_previous=True))

    def _has(self, model: str, role: str) -> bool:
        return any(f.model == model and f.role == role for f in self.status().generations)

    def _ask(self, request: AnyRequest) -> AnyReply:
        reply = self._control.ask_blocking(request)
        if isinstance(reply, Refused):
            raise ServerRefused(reply.reason)
        if isinstance(reply, Done) and reply.notice is not None:
            _log.warning("%s", reply.notice)
        return reply
