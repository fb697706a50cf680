"""What a look at the machine finds, one thing at a time."""

from typing import Literal

from edgewright_manifests.documents import Document

State = Literal["ok", "absent", "warning", "broken"]
"""absent: not installed, which is nobody's fault; broken: there, and does not work."""


class Finding(Document, frozen=True, kw_only=True):
    """One line of `edgewright runtime doctor`."""

    area: str
    """`engine`, `extra`, `accelerator`, `machine`, `kernel` or `server`."""
    name: str
    state: State
    version: str | None = None
    found: str | None = None
    """What was seen: a measured value, or what a tiny model ran on."""
    remedy: str | None = None
    """What to do, for all but `ok`."""
