"""What the repository may do with memory, and how it finds out."""

from collections.abc import Callable
from dataclasses import dataclass, field

from edgewright_runtime.serving.models.footprints import Footprints
from edgewright_runtime.serving.models.memory import available_bytes


@dataclass(frozen=True, slots=True)
class MemoryPolicy:
    """The defaults limit nothing but what the machine limits."""

    budget_bytes: int | None = None
    """For all models together; the least recently used go beyond it. None: no limit of ours."""
    footprints: Footprints = field(default_factory=Footprints)
    available: Callable[[], int | None] = available_bytes
    """Bytes that can be taken now; None where nobody knows."""
