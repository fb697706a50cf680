"""Accelerators whose driver is loaded, and whether this user may open them."""

import getpass
import grp
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from edgewright_runtime.device.facts import ROOT
from edgewright_runtime.device.findings import Finding


class _Kind(NamedTuple):
    name: str
    pattern: str
    """Below the root."""


_KINDS = (
    _Kind("GPU (render node)", "dev/dri/renderD*"),
    _Kind("NVIDIA GPU", "dev/nvidia[0-9]*"),
    _Kind("NVIDIA Jetson GPU", "dev/nvhost-gpu"),
    _Kind("NPU", "dev/accel/accel*"),
    _Kind("Coral Edge TPU (PCIe)", "dev/apex_*"),
    _Kind("Hailo", "dev/hailo*"),
    _Kind("Qualcomm DSP", "dev/fastrpc-*"),
    _Kind("Rockchip NPU", "dev/rknpu*"),
)
_USB = {
    ("1a6e", "089a"): "Coral Edge TPU (USB, before its first use)",
    ("18d1", "9302"): "Coral Edge TPU (USB)",
    ("03e7", "2485"): "Intel Movidius",
}


def accelerator_findings(root: Path = ROOT) -> Iterable[Finding]:
    """One per device file and known USB stick."""
    for kind in _KINDS:
        for path in sorted(root.glob(kind.pattern)):
            yield _opened(f"{kind.name} {path.name}", path, "/" + str(path.relative_to(root)))
    for folder in sorted((root / "sys/bus/usb/devices").glob("*")):
        name = _USB.get((_text(folder / "idVendor"), _text(folder / "idProduct")))
        bus, number = _text(folder / "busnum"), _text(folder / "devnum")
        if name is not None and bus.isdigit() and number.isdigit():
            shown = f"dev/bus/usb/{int(bus):03d}/{int(number):03d}"
            yield _opened(name, root / shown, "/" + shown, is_usb=True)


def _opened(name: str, path: Path, shown: str, *, is_usb: bool = False) -> Finding:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
    except PermissionError:
        return Finding(
            area="accelerator",
            name=name,
            state="broken",
            found=f"{shown} is not for this user",
            remedy=_leave(path, is_usb=is_usb),
        )
    except OSError as error:
        return Finding(
            area="accelerator",
            name=name,
            state="broken",
            found=f"{shown}: {error.strerror}",
            remedy="look at the kernel's messages (dmesg): its driver does not answer",
        )
    return Finding(area="accelerator", name=name, state="ok", found=f"{shown} can be opened")


def _leave(path: Path, *, is_usb: bool) -> str:
    if is_usb:
        return "give it to a group by a udev rule (MODE=0660, GROUP=plugdev), and plug it in again"
    try:
        group = grp.getgrgid(path.stat().st_gid).gr_name
        return f"sudo usermod -aG {group} {getpass.getuser()}, then start the service again"
    except (KeyError, OSError):
        return "give it to a group of this user by a udev rule"


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
