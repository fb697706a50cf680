"""One real server for all tests that can share it: mosquitto, HTTPS, its own CA."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.bundles import make_bundle
from tests.fleet.running import FleetProcess, running_fleet
from tests.fleet.simulated_device import SimulatedDevice

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetProcess]:
    with running_fleet(tmp_path_factory.mktemp("fleet") / "data") as running:
        yield running


@pytest.fixture
def enrol(fleet: FleetProcess, tmp_path: Path) -> Callable[..., SimulatedDevice]:
    def make(**options: Any) -> SimulatedDevice:
        name = f"device-{next(_numbers)}"
        return SimulatedDevice(fleet, name, tmp_path / name, **options)

    return make


@pytest.fixture(scope="session")
def published(fleet: FleetProcess, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """detector@v1, as the API shows it."""
    bundle = make_bundle(tmp_path_factory.mktemp("bundles") / "v1.bundle", "v1")
    fleet.command("publish", str(bundle))
    status, releases = fleet.api("GET", "/api/v1/releases")
    assert status == 200
    return next(dict(r) for r in releases if (r["model"], r["version"]) == ("detector", "v1"))
