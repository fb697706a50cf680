"""The time that signatures are judged by: never before what is known to have passed.

Boards without a battery start in 1970. Trusted time is the latest of: when this runtime
was built, when it last noted the time, when this device's certificate was issued (the
newest signed time that it holds), and the system clock. It judges whether something may
be *installed*; what is installed keeps running whatever the clock says.
"""

import datetime
import logging
from collections.abc import Callable
from pathlib import Path

from edgewright_manifests import documents
from edgewright_manifests.documents import Document
from edgewright_manifests.errors import DocumentError

_LOG = logging.getLogger(__name__)

BUILT = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
"""No correct clock shows an earlier time; raised with every release."""
NOTE_EVERY = datetime.timedelta(hours=1)
"""How far the noted time may lag behind: one small write an hour spares the flash."""


class NotedTime(Document, frozen=True):
    """`time.json`: a time that has passed."""

    not_before: datetime.datetime


def system_time() -> datetime.datetime:
    """The system clock, in UTC."""
    return datetime.datetime.now(datetime.UTC)


class TrustedClock:
    """Trusted time, with its lower bound kept in `path`.

    `signed` are times that a trusted signature states (the device certificate's notBefore).
    """

    def __init__(
        self,
        path: Path,
        *,
        signed: tuple[datetime.datetime, ...] = (),
        system: Callable[[], datetime.datetime] = system_time,
    ) -> None:
        self._path = path
        self._system = system
        self._bound = max((BUILT, *signed, self._read()))
        self._noted = self._read()
        if self.is_behind():
            _LOG.warning(
                "the system clock (%s) is behind a time that has passed; using %s until it is set",
                self._system().isoformat(timespec="seconds"),
                self._bound.isoformat(timespec="seconds"),
            )

    def is_behind(self) -> bool:
        """Whether the system clock shows a time that has passed already."""
        return self._system() < self._bound

    def now(self) -> datetime.datetime:
        """Trusted time; never goes backwards, notes itself at most every NOTE_EVERY."""
        self._bound = max(self._bound, self._system())
        if self._bound - self._noted >= NOTE_EVERY:
            self.note()
        return self._bound

    def note(self) -> None:
        """Make the lower bound durable."""
        documents.write_atomically(self._path, documents.encode(NotedTime(not_before=self._bound)))
        self._noted = self._bound

    def _read(self) -> datetime.datetime:
        try:
            return documents.read_json(self._path, NotedTime).not_before
        except DocumentError:
            return BUILT
