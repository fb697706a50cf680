"""Events that must reach the fleet, kept on disk until the broker has them; and the counter.

SQLite, WAL with synchronous=FULL: what `add` returned from is there after a power cut.
An event goes out at least once; the fleet drops repeats by the event's id.
"""

import sqlite3
import threading
from pathlib import Path
from typing import NamedTuple

from edgewright_runtime.errors import RuntimeFault

MAX_EVENTS = 10_000
"""A device that is away for a year makes a few hundred; beyond this the oldest go."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, payload BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""


class OutboxDamaged(RuntimeFault):
    """The database cannot be used."""


class Entry(NamedTuple):
    """One event on its way."""

    id: str
    payload: bytes


class Outbox:
    """The outbox at `path`; any thread may call."""

    def __init__(self, path: Path, *, first_sequence: int = 0) -> None:
        """`first_sequence` starts the counter when there is none: with the time in seconds, it
        rises even over a lost file."""
        self._lock = threading.Lock()
        try:
            self._db = _open(path)
        except sqlite3.DatabaseError:
            # Damaged beyond SQLite's own recovery: put aside for people, the device goes on.
            path.replace(path.with_suffix(".damaged"))
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            try:
                self._db = _open(path)
            except sqlite3.Error as error:
                raise OutboxDamaged(f"{path}: {error}; free the disk or its rights") from error
        with self._db:
            self._db.execute(
                "INSERT OR IGNORE INTO counter VALUES ('sequence', ?)", (first_sequence,)
            )

    def add(self, id: str, payload: bytes) -> None:
        """Keep an event until it is acknowledged; one that is kept already stays as it is."""
        with self._lock, self._db:
            self._db.execute(
                "INSERT OR IGNORE INTO event (id, payload) VALUES (?, ?)", (id, payload)
            )
            self._db.execute(
                "DELETE FROM event WHERE number <= (SELECT max(number) FROM event) - ?",
                (MAX_EVENTS,),
            )

    def waiting(self, limit: int) -> list[Entry]:
        """The oldest events that are not acknowledged."""
        with self._lock:
            rows = self._db.execute(
                "SELECT id, payload FROM event ORDER BY number LIMIT ?", (limit,)
            ).fetchall()
        return [Entry(*row) for row in rows]

    def acknowledge(self, id: str) -> None:
        """The broker has it."""
        with self._lock, self._db:
            self._db.execute("DELETE FROM event WHERE id = ?", (id,))

    def next_sequence(self) -> int:
        """A number higher than every one before, across restarts."""
        with self._lock, self._db:
            row = self._db.execute(
                "UPDATE counter SET value = value + 1 WHERE name = 'sequence' RETURNING value"
            ).fetchone()
        return int(row[0])

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False, timeout=10)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.executescript(_SCHEMA)
    except sqlite3.Error:
        db.close()
        raise
    return db
