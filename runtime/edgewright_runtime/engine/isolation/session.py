"""The session on this side: starts the child, asks it, and starts it anew when it dies.

A crash fails the request that was being answered; the next one starts the process again, after
a pause that grows. After CRASH_LIMIT crashes in a row the model stays down, with the reason.
"""

import contextlib
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from edgewright_manifests.signature import ModelSignature
from edgewright_manifests.variant import Target

from edgewright_runtime.engine.isolation import wire
from edgewright_runtime.engine.isolation.wire import (
    Answered,
    Call,
    Failed,
    Order,
    Ready,
    Room,
    View,
)
from edgewright_runtime.engine.providers import ANYWHERE, Wanted
from edgewright_runtime.engine.raw_inference import run_raw
from edgewright_runtime.engine.raw_tensor import RawTensor, check_raw_inputs
from edgewright_runtime.errors import (
    BackendUnavailable,
    EngineDown,
    InferenceFailed,
    InvalidInput,
    ModelRejected,
    one_line,
)

if TYPE_CHECKING:
    from edgewright_runtime.engine.tensors import Tensor

_log = logging.getLogger(__name__)
CRASH_LIMIT = 5
SETTLED_S = 60.0
"""A process that lived this long began well: its crash is the first of a row."""
_FIRST_WAIT_S = 0.1
_LAST_WAIT_S = 10.0
_LOAD_S = 300.0
"""For a start: an accelerator's compiler takes minutes."""
HANG_S = 60.0
"""For one inference; a process that is silent for longer is killed, and it counts as a crash."""


class IsolatedSession:
    """See `Session`; it is also `RunsRaw`. One inference at a time: the engine is one process."""

    def __init__(
        self, target: Target, path: Path, *, threads: int, wanted: Wanted = ANYWHERE
    ) -> None:
        """Start and load. Raises BackendUnavailable, ModelRejected."""
        if not wire.SUPPORTED:
            raise BackendUnavailable(
                target, "a process of its own needs Linux", "set isolation = 'none'"
            )
        self._path = path
        self._order = Order(target, str(path), threads, wanted.providers, _word(wanted.cache))
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._closed = False
        self._wait_s = 0.0
        self._not_before = 0.0
        self.crashes = 0
        """Of all time."""
        self._in_a_row = 0
        self.problem: str | None = None
        """Why it is not started again."""
        child = self._start()
        self.signature: ModelSignature = child.ready.signature
        self.placement = child.ready.placement

    @property
    def pid(self) -> int | None:
        """Of the process that runs the model, while it runs."""
        child = self._child
        return child.process.pid if child is not None else None

    def infer(self, inputs: Mapping[str, RawTensor]) -> dict[str, RawTensor]:
        """Outputs by name. Raises InvalidInput, InferenceFailed; EngineDown between two starts."""
        check_raw_inputs(self.signature, inputs)
        with self._lock:
            child = self._running()
            try:
                answer = child.ask(inputs)
            except wire.PacketTooLarge as error:
                raise InvalidInput(f"inputs of strings: {error}") from error
            except (OSError, ValueError) as error:
                raise InferenceFailed(self._crashed(child, error)) from error
        if isinstance(answer, Failed):
            kind = InvalidInput if answer.kind == "InvalidInput" else InferenceFailed
            raise kind(answer.reason)
        return answer

    def run(self, inputs: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
        """See `Session.run`."""
        return run_raw(self.signature, self.infer, inputs)

    def close(self) -> None:
        """See `Session.close`."""
        with self._lock:
            self._closed = True
            child, self._child = self._child, None
        if child is not None:
            child.end()

    def _running(self) -> "_Child":
        if self._closed:
            raise InferenceFailed("the model was unloaded")
        if self._child is not None:
            return self._child
        if self.problem is not None:
            raise EngineDown(self.problem, retry_after_s=_LAST_WAIT_S)
        left_s = self._not_before - time.monotonic()
        if left_s > 0:
            raise EngineDown(
                f"the model's process crashed and is started again in {left_s:.1f} s",
                retry_after_s=left_s,
            )
        try:
            return self._start()
        except (ModelRejected, BackendUnavailable) as error:
            self._count(f"does not start again: {one_line(error)}")
            raise EngineDown(f"the model's process {error}", retry_after_s=self._wait_s) from error

    def _start(self) -> "_Child":
        self._child = child = _Child(self._order)
        return child

    def _crashed(self, child: "_Child", error: Exception) -> str:
        how = child.end()
        if isinstance(error, TimeoutError):
            how = f"did not answer within {HANG_S:g} s and was killed"
        self._child = None
        if time.monotonic() - child.started > SETTLED_S:
            self._in_a_row, self._wait_s = 0, 0.0
        self._count(how)
        return f"the process that runs the model {how}; {self.problem or 'it is started again'}"

    def _count(self, how: str) -> None:
        self.crashes += 1
        self._in_a_row += 1
        self._wait_s = min(_LAST_WAIT_S, self._wait_s * 2) or _FIRST_WAIT_S
        self._not_before = time.monotonic() + self._wait_s
        if self._in_a_row >= CRASH_LIMIT:
            self.problem = (
                f"the model's process {how}, {self._in_a_row} times in a row; it stays down until "
                "the model is loaded again"
            )
        _log.error(
            "engine crashed model=%s how=%s in_a_row=%d stays_down=%s",
            self._path, how, self._in_a_row, self.problem is not None,
        )  # fmt: skip  # fields in one line


class _Child:
    """One life of the process."""

    def __init__(self, order: Order) -> None:
        self.started = time.monotonic()
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection = ours
        self._room, self._view = Room(), View()
        command = [sys.executable, "-m", "edgewright_runtime.engine.isolation.child"]
        command += [str(its.fileno()), msgspec.json.encode(order).decode()]
        with its:
            # Its stdin is a pipe that ends with us; what the model prints is no answer of ours.
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=[its.fileno()]
            )
        ours.settimeout(_LOAD_S)
        try:
            answer = wire.receive(ours, self._view)
        except (OSError, ValueError):
            answer = None
        if not isinstance(answer, Ready):
            how = self.end()
            if isinstance(answer, Failed):
                how = answer.reason
                if answer.kind == "BackendUnavailable":
                    raise BackendUnavailable(order.target, answer.reason, answer.remedy)
            raise ModelRejected(
                Path(order.path), how if answer else f"its process {how} while it loaded"
            )
        self.ready = answer
        ours.settimeout(HANG_S)

    def ask(self, inputs: Mapping[str, RawTensor]) -> dict[str, RawTensor] | Failed:
        """Outputs. Raises OSError or ValueError when the process is gone or mad, and
        PacketTooLarge before it is asked."""
        laid = self._room.lay(inputs)
        packet = wire.pack(Call(laid))
        wire.send(self._connection, packet, self._room.new_descriptor())
        answer = wire.receive(self._connection, self._view)
        if isinstance(answer, Answered):
            return self._view.read(answer.outputs)
        if isinstance(answer, Failed):
            return answer
        raise ConnectionError("the process ended")

    def end(self) -> str:
        """Kill it; how it had ended, or that it was killed."""
        self._connection.close()
        self._room.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            # One that crashed is still writing its core, one that is told to end ends at once.
            self.process.wait(0.2)
        self.process.kill()
        code = self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        if code >= 0:
            return f"ended with code {code}"
        return f"was ended by {signal.Signals(-code).name}"


def _word(path: Path | None) -> str | None:
    return None if path is None else str(path)
