"""What is read of machines that we do not have, from files laid out as theirs."""

from pathlib import Path

from edgewright_runtime.device.accelerators import accelerator_findings
from edgewright_runtime.device.conditions import kernel_findings, machine_findings
from edgewright_runtime.device.findings import Finding


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def machine(root: Path) -> dict[str, Finding]:
    return {finding.name: finding for finding in machine_findings(root, root)}


def test_a_raspberry_pi_with_a_weak_power_supply(tmp_path: Path) -> None:
    root = put(
        tmp_path,
        {
            "proc/meminfo": "MemTotal: 949444 kB\nMemAvailable: 90000 kB\n",
            "sys/class/thermal/thermal_zone0/temp": "83100\n",
            "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
        },
    )
    found = machine(root)
    assert found["memory"].state == "warning"
    assert found["memory"].found == "88 MiB available"
    assert found["temperature"].found == "83 C"
    assert found["temperature"].state == "warning"
    assert found["throttling"].found == "under-voltage, throttled"
    assert "power supply" in (found["throttling"].remedy or "")


def test_one_that_was_throttled_and_is_no_more(tmp_path: Path) -> None:
    name = "sys/devices/platform/soc/soc:firmware/get_throttled"
    assert machine(put(tmp_path, {name: "80000\n"}))["throttling"].found == (
        "too hot since the start"
    )
    assert machine(put(tmp_path, {name: "0\n"}))["throttling"].state == "ok"


def test_cores_that_a_power_mode_holds_back(tmp_path: Path) -> None:
    cpu = "sys/devices/system/cpu/cpu1/cpufreq"
    root = put(
        tmp_path, {f"{cpu}/scaling_max_freq": "729600", f"{cpu}/cpuinfo_max_freq": "1510400"}
    )
    assert machine(root)["throttling"].found == "cpu1 held below full frequency"


def test_the_disk_of_a_folder_that_is_still_to_be_made_is_its_parent_s(tmp_path: Path) -> None:
    (found,) = [each for each in machine_findings(tmp_path / "not" / "yet") if each.name == "disk"]
    assert (found.found or "").endswith(f"free at {tmp_path}")


def test_accelerators_are_opened_to_see_whether_they_may_be(tmp_path: Path) -> None:
    usb = "sys/bus/usb/devices/1-1"
    root = put(
        tmp_path,
        {
            "dev/dri/renderD128": "",
            f"{usb}/idVendor": "18d1\n",
            f"{usb}/idProduct": "9302\n",
            f"{usb}/busnum": "1\n",
            f"{usb}/devnum": "7\n",
        },
    )
    render, coral = accelerator_findings(root)
    assert render.state == "ok"
    assert render.found == "/dev/dri/renderD128 can be opened"
    assert coral.name == "Coral Edge TPU (USB)"
    assert coral.state == "broken"
    assert (coral.found or "").startswith("/dev/bus/usb/001/007: No such file")


def test_this_kernel_has_what_the_local_door_is_tested_with() -> None:
    assert [finding.state for finding in kernel_findings()] == ["ok", "ok"]
