"""One record of the audit log: what somebody did to the fleet, before and after."""

import datetime
from typing import Literal

from edgewright_manifests.digest import Digest
from edgewright_manifests.documents import Document


class ModelMetadata(Document, frozen=True):
    """Which release an operation was about."""

    name: str
    version: str
    bundle: Digest | None = None
    release_counter: int | None = None


class AuditRecord(Document, frozen=True):
    """One leaf of the log; its JSON line, without the line feed, is exactly the leaf's bytes.

    Every operation leaves two records with the same `id`: `before` it is carried out and
    `after`. One `before` without an `after` is an operation that a crash cut short.
    """

    sequence: int
    """Index of the leaf, from 0."""
    id: str
    """The same for the two records of one operation."""
    phase: Literal["before", "after"]
    timestamp: datetime.datetime
    user: str
    """Who asked: `admin`, `device:pi-3`, `fleet` for what the server decides by itself."""
    operation: str
    """`rollout.start`, `release.publish`, `device.enrol`, ..."""
    command: str
    """How it was asked: the command line or `POST /api/v1/rollouts`; never a secret."""
    environment: str
    """Which installation: `production`, `staging`, a host name."""
    outcome: Literal["started", "done", "failed"]
    """`started` in the record before."""
    change_ticket: str | None = None
    resources: tuple[str, ...] = ()
    """What it touches: `device:pi-3`, `rollout:r-1`, `release:fashion/2`."""
    detail: str | None = None
    """Why, for people: a rollout's reason to halt, a device's reason to go back."""
    error: str | None = None
    """Class and text of what it failed with."""
    rollback_available: bool = False
    """Whether the operation can be taken back from where it leads."""
    duration_s: float | None = None
    model: ModelMetadata | None = None
