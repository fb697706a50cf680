"""What one child may use."""

import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

_FILE_BYTES = 8 << 30
"""The largest file that a child may write: four times what one protobuf can hold."""
_LEAST_BYTES = 2 << 30
_PER_CHILD_BYTES = 1_500_000_000
"""A child that quantizes a 20 MB detector peaks below this."""
_MOST_JOBS = 4
"""Beyond this the quantizers wait for memory, not for cores."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of every child of one conversion."""

    memory_bytes: int
    """Private memory (RLIMIT_DATA); files that are mapped do not count. Linux only."""
    silence_s: float = 900.0
    """Longest time without a sign of life; a recipe that looks at all samples at once took 127 s
    for EfficientNet-Lite0 on a busy machine."""

    def apply(self) -> None:
        """Bind this process and all that it starts."""
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _lower(resource.RLIMIT_FSIZE, _FILE_BYTES)
        if sys.platform.startswith("linux"):
            _lower(resource.RLIMIT_DATA, self.memory_bytes)


def default_memory_bytes() -> int:
    """Three quarters of what is free now, and never less than 2 GiB."""
    return max(_LEAST_BYTES, available_bytes() * 3 // 4)


def default_jobs() -> int:
    """As many children at once as there are cores and memory for, at most four."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, min(_MOST_JOBS, cores, available_bytes() // _PER_CHILD_BYTES))


def available_bytes() -> int:
    """Memory that a new process may take: the machine's, or this control group's if less."""
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    free = page_bytes * os.sysconf("SC_PHYS_PAGES")
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    group = Path("/sys/fs/cgroup")
    most, used = _number(group / "memory.max"), _number(group / "memory.current")
    return min(free, most - used) if most is not None and used is not None else free


def _lower(kind: int, wanted: int) -> None:
    _, hard = resource.getrlimit(kind)
    bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(kind, (bound, bound))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _number(path: Path) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdigit() else None
