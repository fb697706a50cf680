"""What the daemon knows of its machine, and what it tells systemd."""

import socket
from pathlib import Path

import pytest
from edgewright_manifests.device_profile import load_profile
from edgewright_runtime.device.facts import (
    memory_used_bytes,
    read_facts,
    suggest_profile,
    temperature_c,
)
from edgewright_runtime.health.watchdog import ServiceManager

MEMINFO = "MemTotal:        8245432 kB\nMemFree: 100 kB\nMemAvailable:    6245432 kB\n"


def board(root: Path, *, model: str = "", compatible: tuple[str, ...] = ()) -> Path:
    (root / "proc" / "device-tree").mkdir(parents=True)
    (root / "proc" / "meminfo").write_text(MEMINFO)
    (root / "proc" / "cpuinfo").write_text("processor : 0\n\nprocessor : 1\n")
    if compatible:
        tree = root / "proc" / "device-tree"
        (tree / "model").write_text(f"{model}\0")
        (tree / "compatible").write_text("".join(f"{name}\0" for name in compatible))
    return root


@pytest.mark.parametrize(
    ("model", "compatible", "architecture", "profile"),
    [
        (
            "Raspberry Pi 5 Model B Rev 1.0",
            ("raspberrypi,5-model-b", "brcm,bcm2712"),
            "aarch64",
            "raspberry-pi-5",
        ),
        (
            "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
            ("nvidia,p3768-0000+p3767-0005-super", "nvidia,p3768-0000+p3767-0005"),
            "aarch64",
            "jetson-orin-nano",
        ),
        ("Some Board", ("vendor,board",), "aarch64", "generic"),
        ("", (), "x86_64", "x86-gateway"),
        ("", (), "riscv64", "generic"),
    ],
)
def test_a_board_gets_the_profile_that_was_made_for_it(
    tmp_path: Path, model: str, compatible: tuple[str, ...], architecture: str, profile: str
) -> None:
    root = board(tmp_path, model=model, compatible=compatible)
    facts = read_facts(root, architecture=architecture)
    assert facts.model == (model or None)
    assert facts.compatible == compatible
    assert (facts.memory_bytes, facts.cores) == (8245432 * 1024, 2)
    assert suggest_profile(facts) == profile
    assert load_profile(profile).name == profile


def test_a_machine_that_says_nothing_has_no_facts(tmp_path: Path) -> None:
    facts = read_facts(tmp_path)
    assert facts[1:] == (None, (), None, 1)
    assert temperature_c(tmp_path) is None
    assert memory_used_bytes(tmp_path) is None


def test_the_hottest_zone_and_the_memory_in_use_are_told(tmp_path: Path) -> None:
    board(tmp_path)
    for number, text in enumerate(("41500\n", "62125\n", "broken\n")):
        zone = tmp_path / "sys/class/thermal" / f"thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "temp").write_text(text)
    assert temperature_c(tmp_path) == 62.125
    assert memory_used_bytes(tmp_path) == 2000000 * 1024


def test_this_machine_has_facts() -> None:
    facts = read_facts()
    assert facts.memory_bytes is not None
    assert facts.cores >= 1


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_hears_what_it_is_told(tmp_path: Path, abstract: bool) -> None:
    address = f"\0edgewright-{tmp_path}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(5)
        shown = "@" + address[1:] if abstract else address
        service = ServiceManager.of({"NOTIFY_SOCKET": shown})
        service.ready()
        service.alive()
        service.stopping()
        heard = [manager.recv(100) for _ in range(3)]
    assert heard == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_without_systemd_and_after_its_end_nothing_happens(tmp_path: Path) -> None:
    ServiceManager.of({}).ready()
    ServiceManager.of({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
