"""Which models go when memory is short: the rules, without I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

HEADROOM = 1.1
"""Measured peaks differ by a few percent from load to load."""


@dataclass(frozen=True, slots=True)
class Held:
    """A model in memory."""

    name: str
    kept_bytes: int
    used_s: float
    """When it last answered."""
    may_go: bool
    """Not pinned, not on probation, not the one that is being loaded."""


def victims(held: Sequence[Held], need_bytes: int, budget_bytes: int) -> list[str] | None:
    """The least recently used models that make room; None when all of them are not enough."""
    excess = sum(each.kept_bytes for each in held) + need_bytes - budget_bytes
    chosen = []
    for each in sorted((each for each in held if each.may_go), key=lambda each: each.used_s):
        if excess <= 0:
            break
        chosen.append(each.name)
        excess -= each.kept_bytes
    return chosen if excess <= 0 else None


def fits_beside(peak_bytes: int, available_bytes: int | None) -> bool:
    """Whether a load may begin while everything stays in memory."""
    return available_bytes is None or peak_bytes * HEADROOM <= available_bytes
