"""What this machine is, read from the system's own files."""

import platform
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/")
_PROFILES = {
    # First `compatible` entry of the board's device tree, and the profile made for it.
    "raspberrypi,5-model-b": "raspberry-pi-5",
    "nvidia,p3768-0000+p3767-0005": "jetson-orin-nano",
}


class DeviceFacts(NamedTuple):
    """Facts; None where the system does not say."""

    architecture: str
    """`uname -m`."""
    model: str | None
    """The board's name for people."""
    compatible: tuple[str, ...]
    """The device tree's identifiers, the most specific first; empty on a PC."""
    memory_bytes: int | None
    cores: int


def read_facts(root: Path = ROOT, *, architecture: str | None = None) -> DeviceFacts:
    """The facts of the machine whose files lie under `root`."""
    tree = root / "proc" / "device-tree"
    compatible = _text(tree / "compatible")
    model = _text(tree / "model") or _text(root / "sys/class/dmi/id/product_name")
    cpus = _text(root / "proc" / "cpuinfo") or ""
    return DeviceFacts(
        architecture=architecture or platform.machine(),
        model=model.strip("\0 \n") or None if model else None,
        compatible=tuple(filter(None, (compatible or "").split("\0"))),
        memory_bytes=_memory(root, "MemTotal"),
        cores=max(1, sum(line.startswith("processor") for line in cpus.splitlines())),
    )


def memory_used_bytes(root: Path = ROOT) -> int | None:
    """Memory in use on the whole machine, in bytes."""
    total, available = _memory(root, "MemTotal"), _memory(root, "MemAvailable")
    return total - available if total is not None and available is not None else None


def memory_available_bytes(root: Path = ROOT) -> int | None:
    """Memory that programs can still have, in bytes."""
    return _memory(root, "MemAvailable")


def temperature_c(root: Path = ROOT) -> float | None:
    """The hottest thermal zone, in degrees Celsius."""
    found: list[float] = []
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*/temp")):
        text = (_text(zone) or "").strip()
        if text.lstrip("-").isdigit():
            found.append(int(text) / 1000.0)  # millidegrees
    return max(found, default=None)


def suggest_profile(facts: DeviceFacts) -> str:
    """The shipped profile that fits these facts best; `generic` fits everything."""
    for name in facts.compatible:
        if name in _PROFILES:
            return _PROFILES[name]
    return "x86-gateway" if facts.architecture == "x86_64" else "generic"


def _memory(root: Path, field: str) -> int | None:
    for line in (_text(root / "proc" / "meminfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name == field and value.split():
            return int(value.split()[0]) * 1024  # kibibytes
    return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None
