"""Gives jobs to children, several at a time, and brings back what each made or why it did not."""

import json
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from edgewright_converter.children.ending import JOB, OUT_OF_MEMORY, OUTPUT, REFUSAL, RESULT
from edgewright_converter.children.limits import Limits
from edgewright_converter.crate import CrateDamaged, read_crate, write_crate
from edgewright_converter.errors import ChildFailed, ConverterError
from edgewright_converter.jobs.sign import Job

_ZYGOTE = "edgewright_converter.children.zygote"
_POLL_S = 0.25
_END_S = 10.0
"""Longest wait for a child that was told to end: its monitor kills it at once."""
_READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Order:
    """One job, and the name by which people know it."""

    name: str
    job: Job
    silence_s: float | None = None
    """Shorter patience than the crew's."""


@dataclass(slots=True)
class _Child:
    order: Order
    folder: Path
    line: socket.socket
    heard: float
    unread: bytes = b""
    status: int | None = None
    """None while its monitor has not told how it ended."""
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one order."""

    result: Path | None
    """The crate with what the job returned."""
    error: ConverterError | None


class Crew:
    """A zygote and the children forked from it; a context manager that leaves none alive.

    `folder` is scratch space: every order gets a folder of its own there.
    """

    def __init__(self, folder: Path, limits: Limits, slots: int) -> None:
        self._folder = folder
        self._limits = limits
        self.slots = slots
        self._started = 0
        self._door: socket.socket | None = None
        self._zygote: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        ours, theirs = socket.socketpair()
        with theirs, (self._folder / "zygote.txt").open("wb") as said:
            self._zygote = subprocess.Popen(
                # -P: no module is taken from the folder that a person happens to stand in.
                [sys.executable, "-P", "-m", _ZYGOTE, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )
        self._door = ours
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._door is not None
        assert self._zygote is not None
        self._door.close()
        try:
            self._zygote.wait(_END_S)
        finally:
            self._zygote.kill()
            self._zygote.wait()

    def run(
        self,
        orders: Sequence[Order],
        *,
        told: Callable[[str, str], None],
        tick: Callable[[], None],
    ) -> Iterator[tuple[int, Outcome]]:
        """(index, outcome) of every order as it ends, at most `slots` at a time.

        `told(name, line)` gets the lines that a job says, "" when it starts; `tick()` is
        called several times a second.
        """
        waiting = list(enumerate(orders))
        with selectors.DefaultSelector() as watched:
            try:
                while waiting or watched.get_map():
                    while waiting and len(watched.get_map()) < self.slots:
                        index, order = waiting.pop(0)
                        told(order.name, "")
                        child = self._start(order)
                        watched.register(child.line, selectors.EVENT_READ, (index, child))
                    for index, child in self._ended(watched, told):
                        yield index, self._outcome(child)
                    tick()
            finally:
                for key in list(watched.get_map().values()):
                    _end(key.data[1])

    def _start(self, order: Order) -> _Child:
        assert self._door is not None
        folder = self._folder / f"child-{self._started}"
        self._started += 1
        folder.mkdir()
        write_crate(folder / JOB, order.job)
        ours, theirs = socket.socketpair()
        limits = asdict(self._limits)
        try:
            with theirs:
                socket.send_fds(self._door, [b"+"], [theirs.fileno()])
            ours.sendall(json.dumps({"folder": str(folder), "limits": limits}).encode())
        except OSError as error:
            ours.close()
            raise ConverterError(self._why_no_zygote()) from error
        ours.setblocking(False)
        now = time.monotonic()
        return _Child(order, folder, ours, now)

    def _why_no_zygote(self) -> str:
        lines = (self._folder / "zygote.txt").read_text(errors="replace").splitlines()
        said = lines[-1] if lines else "it said nothing"
        return f"child processes cannot be started: {said}; install edgewright-converter again"

    def _ended(
        self, watched: selectors.BaseSelector, told: Callable[[str, str], None]
    ) -> list[tuple[int, _Child]]:
        ended = []
        for key, _ in watched.select(_POLL_S):
            index, child = key.data
            if not _hear(child, told):
                watched.unregister(child.line)
                child.line.close()
                ended.append((index, child))
        for key in list(watched.get_map().values()):
            index, child = key.data
            if time.monotonic() - child.heard > self._silence_s(child):
                watched.unregister(child.line)
                _end(child)
                child.silent = True
                ended.append((index, child))
        return ended

    def _silence_s(self, child: _Child) -> float:
        own = child.order.silence_s
        return self._limits.silence_s if own is None else min(own, self._limits.silence_s)

    def _outcome(self, child: _Child) -> Outcome:
        result = child.folder / RESULT
        if child.status == 0 and result.is_file():
            return Outcome(result, None)
        refusal = child.folder / REFUSAL
        if refusal.is_file():
            with suppress(CrateDamaged):
                return Outcome(None, read_crate(refusal))
        return Outcome(None, ChildFailed(self._why(child)))

    def _why(self, child: _Child) -> str:
        memory = f"{self._limits.memory_bytes / 1e9:.1f} GB"
        if child.silent:
            return (
                f"it gave no sign of life for {self._silence_s(child):.0f} s and was ended; "
                "give it longer with --step-limit"
            )
        output = (child.folder / OUTPUT).read_bytes() if (child.folder / OUTPUT).is_file() else b""
        if child.status == OUT_OF_MEMORY or b"bad_alloc" in output:
            return f"it needs more than {memory} of memory; allow more with --memory-limit"
        if child.status is None:
            return "its monitor was killed; try again"
        if child.status == -signal.SIGKILL:
            return "it was killed, as the system does when memory runs out; use fewer --jobs"
        if child.status < 0:
            return f"it crashed ({signal.Signals(-child.status).name})"
        return f"it ended with status {child.status} and no result"


def _hear(child: _Child, told: Callable[[str, str], None]) -> bool:
    """Read what a child says; False when it is gone."""
    try:
        data = child.line.recv(_READ_BYTES)
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    child.heard = time.monotonic()
    *lines, child.unread = (child.unread + data).split(b"\n")
    for line in lines:
        message = json.loads(line)
        if "end" in message:
            child.status = int(message["end"])
        elif "step" in message:
            told(child.order.name, str(message["step"]))
    return bool(data)


def _end(child: _Child) -> None:
    """Kill it, and wait until its monitor has seen it dead."""
    child.line.shutdown(socket.SHUT_WR)
    child.line.setblocking(True)
    child.line.settimeout(_END_S)
    with suppress(OSError):
        while child.line.recv(_READ_BYTES):
            pass
    child.line.close()
