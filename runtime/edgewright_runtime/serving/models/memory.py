"""How much memory there is for models, and how much of it this process has taken."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")
_PEAK_RESET = Path("/proc/self/clear_refs")
_KIB = 1024


@dataclass(slots=True)
class Growth:
    """What a piece of work took, in bytes; None where the kernel does not tell."""

    peak: int | None = None
    """The most at any time."""
    kept: int | None = None
    """Still there at its end."""


def available_bytes(root: Path = Path("/")) -> int | None:
    """What can be taken before the kernel kills someone: of the machine, and of our cgroups."""
    found = [_meminfo(root / "proc/meminfo"), *_cgroups(root)]
    known = [each for each in found if each is not None]
    return max(0, min(known)) if known else None


@contextlib.contextmanager
def measured() -> Iterator[Growth]:
    """Measure the growth of this process while the block runs; other threads' counts too."""
    growth, before = Growth(), _field("VmRSS")
    with contextlib.suppress(OSError):
        # proc(5): 5 sets the peak back to what is resident now.
        _PEAK_RESET.write_text("5")
    yield growth
    peak, after = _field("VmHWM"), _field("VmRSS")
    if before is not None and peak is not None and after is not None:
        growth.peak, growth.kept = max(0, peak - before), max(0, after - before)


def shown_bytes(size: int) -> str:
    """For people: whole megabytes."""
    return f"{size / (1 << 20):.0f} MB"


def _meminfo(path: Path) -> int | None:
    try:
        for line in path.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * _KIB
    except (OSError, ValueError, IndexError):
        return None
    return None


def _cgroups(root: Path) -> Iterator[int | None]:
    """Of every group of version 2 from ours up: its limit less what it cannot give back."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, _, rest = line.partition(":")
        path = rest.partition(":")[2].lstrip("/")
        if number != "0":
            continue
        mount = root / "sys/fs/cgroup"
        group = mount / path
        while True:
            yield _left(group)
            if group in (mount, group.parent):
                return
            group = group.parent


def _left(group: Path) -> int | None:
    try:
        limit = (group / "memory.max").read_text().strip()
        if limit == "max":
            return None
        used = int((group / "memory.current").read_text())
        cache = 0
        for line in (group / "memory.stat").read_text().splitlines():
            if line.startswith("inactive_file "):
                cache = int(line.split()[1])
        return int(limit) - used + cache
    except (OSError, ValueError, IndexError):
        return None


def _field(name: str) -> int | None:
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * _KIB
    except (OSError, ValueError, IndexError):
        return None
    return None
