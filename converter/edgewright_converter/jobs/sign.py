"""What a child is given to do, and how it says that it is alive."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from edgewright_manifests.signature import ModelSignature
from edgewright_runtime.engine import Session

from edgewright_converter.samples import Tensor

_QUIET_S = 0.5
"""A sign of life at most this often; the other side waits minutes for one."""


class Sign:
    """Signs of life, and lines for people, on the way to the process that waits."""

    def __init__(self, descriptor: int) -> None:
        self._stream = open(descriptor, "wb", buffering=0, closefd=False)  # noqa: SIM115
        self._last = 0.0  # Above: a descriptor for the process's whole life, not a path.

    def beat(self) -> None:
        """Something was finished: one sample, one layer."""
        now = time.monotonic()
        if now - self._last >= _QUIET_S:
            self._last = now
            self._send({"beat": 1})

    def step(self, text: str) -> None:
        """A line of progress."""
        self._send({"step": text})

    def _send(self, message: Mapping[str, object]) -> None:
        self._stream.write(json.dumps(message).encode() + b"\n")


class Job(Protocol):
    """One piece of work: a frozen dataclass that travels in a crate, as its result does."""

    def run(self, scratch: Path, sign: Sign) -> object:
        """Do it in this process. Raises EdgewrightError when it cannot be done."""


class Living:
    """A session that gives a sign of life after every inference."""

    def __init__(self, session: Session, sign: Sign) -> None:
        self._session = session
        self._sign = sign

    @property
    def signature(self) -> ModelSignature:
        """The session's own."""
        return self._session.signature

    @property
    def placement(self) -> str:
        """The session's own."""
        return self._session.placement

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See Session."""
        outputs = self._session.run(inputs)
        self._sign.beat()
        return outputs

    def close(self) -> None:
        """See Session."""
        self._session.close()
