"""CPU time and memory of a server with all its children, read from /proc."""

import os
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> tuple[int, ...]:
    """The process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            fields = _stat(int(folder.name))
            if fields:
                parents.setdefault(int(fields[1]), []).append(int(folder.name))
    found = [pid]
    for each in found:  # grows while it is walked
        found += parents.get(each, [])
    return tuple(found)


def cpu_s(pid: int) -> float:
    """CPU time of the tree so far, in seconds, of children that ended included."""
    total = 0
    for each in tree(pid):
        fields = _stat(each)
        if fields:
            total += sum(int(field) for field in fields[11:15])  # utime stime cutime cstime
    return total / _TICKS_PER_S


def resident_bytes(pid: int) -> tuple[int, int]:
    """(RSS, PSS) of the tree; PSS counts a page that n processes share as 1/n."""
    rss = pss = 0
    for each in tree(pid):
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue  # it ended while we looked
        sizes = {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines if "kB" in line}
        rss += sizes.get("Rss", 0)
        pss += sizes.get("Pss", 0)
    return rss, pss


def _stat(pid: int) -> list[str]:
    """proc(5)'s fields from `state` on; empty when the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    except OSError:
        return []
