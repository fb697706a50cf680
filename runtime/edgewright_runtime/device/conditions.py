"""The state that the machine is in: memory, disk, clock, heat, limits and kernel features."""

import ctypes
import mmap
import os
import resource
import select
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from edgewright_runtime.device.facts import ROOT, memory_available_bytes, temperature_c
from edgewright_runtime.device.findings import Finding, State

_LOW_MEMORY_BYTES = 128 << 20
"""A second generation of a small detector beside the first needs about as much."""
_LOW_DISK_BYTES = 512 << 20
"""An update needs the new release beside the old one."""
_HOT_C = 80.0
"""A Raspberry Pi slows down from 80, a Jetson from about 97."""
_FEW_FILES = 4096
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES = 256
_PI_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
_PI_BITS = ((0, "under-voltage"), (1, "frequency capped"), (2, "throttled"), (3, "too hot"))
"""Raspberry Pi firmware, `vcgencmd get_throttled`; bits 16 and up tell of the past."""


def machine_findings(folder: Path, root: Path = ROOT) -> Iterable[Finding]:
    """Memory, disk (of `folder`), clock, heat and throttling, limit of open files."""
    yield _memory(root)
    yield _disk(folder)
    yield _clock()
    yield _heat(root)
    yield _throttling(root)
    yield _open_files()


def kernel_findings() -> Iterable[Finding]:
    """What the local door needs for its quickest way."""
    yield _kernel("memfd with seals", _has_memfd(), "tensors go through the socket instead")
    yield _kernel("eventfd", _has_eventfd(), "the socket is the bell instead, 40 us slower")


def _memory(root: Path) -> Finding:
    free = memory_available_bytes(root)
    if free is None:
        return _machine("memory", "warning", "unknown", "the system tells nothing of its memory")
    shown = f"{free / (1 << 20):.0f} MiB available"
    if free < _LOW_MEMORY_BYTES:
        return _machine("memory", "warning", shown, "stop other programs, or serve fewer models")
    return _machine("memory", "ok", shown)


def _disk(folder: Path) -> Finding:
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    free = shutil.disk_usage(there).free
    shown = f"{free / (1 << 30):.1f} GiB free at {there}"
    if not os.access(there, os.W_OK):
        return _machine("disk", "broken", f"{there} cannot be written", "mount it for writing")
    if free < _LOW_DISK_BYTES:
        return _machine("disk", "warning", shown, "updates need room; remove what is not needed")
    return _machine("disk", "ok", shown)


def _clock() -> Finding:
    if not sys.platform.startswith("linux"):
        return _machine("clock", "ok", "not looked at on this system")
    answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if answer == _TIME_ERROR:
        return _machine(
            "clock",
            "warning",
            "not synchronised",
            "start systemd-timesyncd or chrony: certificates and updates expire by the clock",
        )
    if answer < 0:
        return _machine("clock", "warning", "unknown", "the kernel does not let us ask; use chrony")
    return _machine("clock", "ok", "synchronised")


def _heat(root: Path) -> Finding:
    hottest = temperature_c(root)
    if hottest is None:
        return _machine("temperature", "ok", "no sensor")
    if hottest >= _HOT_C:
        return _machine("temperature", "warning", f"{hottest:.0f} C", "cool it: it will slow down")
    return _machine("temperature", "ok", f"{hottest:.0f} C")


def _throttling(root: Path) -> Finding:
    pi = _number(root / _PI_THROTTLED, base=16)
    if pi is not None:
        now = [word for bit, word in _PI_BITS if pi >> bit & 1]
        since = [f"{word} since the start" for bit, word in _PI_BITS if pi >> (bit + 16) & 1]
        if now or since:
            return _machine(
                "throttling",
                "warning",
                ", ".join(now or since),
                "use the board's own power supply and a heat sink",
            )
        return _machine("throttling", "ok", "none since the start")
    cpus = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*"))
    events = [_number(cpu / "thermal_throttle/package_throttle_count") or 0 for cpu in cpus]
    capped = [
        cpu.name
        for cpu in cpus
        if (_number(cpu / "cpufreq/scaling_max_freq") or 0)
        < (_number(cpu / "cpufreq/cpuinfo_max_freq") or 0)
    ]
    if capped:
        return _machine(
            "throttling",
            "warning",
            f"{', '.join(capped)} held below full frequency",
            "look at cooling, power supply, and the power mode (nvpmodel, cpupower)",
        )
    if max(events, default=0):
        found = f"throttled {max(events)} times since the start"
        return _machine("throttling", "warning", found, "look at cooling")
    return _machine("throttling", "ok", "none seen")


def _open_files() -> Finding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    shown = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    if hard != resource.RLIM_INFINITY and hard < _FEW_FILES:
        remedy = f"LimitNOFILE=16384 in the service: a connection is a file, and {hard} are few"
        return _machine("open files", "warning", shown, remedy)
    return _machine("open files", "ok", shown)


def _has_memfd() -> bool:
    try:
        descriptor = os.memfd_create("edgewright-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except (AttributeError, OSError):
        return False
    try:
        os.ftruncate(descriptor, mmap.PAGESIZE)
        with mmap.mmap(descriptor, mmap.PAGESIZE) as memory:
            memory[0] = 1
            return memory[0] == 1
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _has_eventfd() -> bool:
    try:
        descriptor = os.eventfd(1, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    except (AttributeError, OSError):
        return False
    try:
        ready, _, _ = select.select([descriptor], [], [], 0)
        return bool(ready) and os.eventfd_read(descriptor) == 1
    finally:
        os.close(descriptor)


def _kernel(name: str, works: bool, otherwise: str) -> Finding:
    if works:
        return Finding(area="kernel", name=name, state="ok", found="works")
    return Finding(area="kernel", name=name, state="warning", found="not offered", remedy=otherwise)


def _machine(name: str, state: State, found: str, remedy: str | None = None) -> Finding:
    return Finding(area="machine", name=name, state=state, found=found, remedy=remedy)


def _number(path: Path, *, base: int = 10) -> int | None:
    try:
        return int(path.read_text().strip(), base)
    except (OSError, ValueError):
        return None
