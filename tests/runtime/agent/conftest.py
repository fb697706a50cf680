"""One fleet for each test module; devices are made by the tests."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.simulators.device import Device
from tests.simulators.fleet import FleetSimulator

MakeDevice = Callable[..., Device]
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetSimulator]:
    made = FleetSimulator(tmp_path_factory.mktemp("fleet") / "fleet")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def make_device(fleet: FleetSimulator, tmp_path: Path) -> Iterator[MakeDevice]:
    """Enrolled devices that are ended after the test; their log is shown when it fails."""
    made: list[Device] = []

    def make(**update: float) -> Device:
        # A module's tests share the fleet, so no name comes twice.
        device = Device(f"d{next(_NUMBERS)}", tmp_path, **update)
        device.enrol(fleet.token())
        made.append(device)
        return device

    yield make
    for device in made:
        print(f"--- log of {device.name}\n{device.tail()}" if device.log.exists() else "")
        if device.is_running():
            device.kill()
