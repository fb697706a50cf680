"""Which devices come first: stable, random-looking, and every class of hardware early.

A device's rank is SHA-256(rollout id "/" device id), so each rollout has another canary
and everybody can recompute the order.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from edgewright_fleet.errors import UnprocessableError
from edgewright_fleet.rollouts.model import Phase


def rank(rollout_id: str, device: str) -> bytes:
    """The device's place in the lottery of this rollout: 32 bytes, lowest first."""
    return hashlib.sha256(f"{rollout_id}/{device}".encode()).digest()


def device_order(rollout_id: str, strata: Iterable[tuple[str, str]]) -> list[str]:
    """Devices in the order in which a rollout takes them.

    `strata` gives (device, stratum) pairs. The first device is the lowest in rank of all.
    The first of each stratum come before any second one, so that a phase of n devices
    has n strata or all of them; after that each stratum is spread evenly, so that every
    phase is about as mixed as the group.
    """
    by_stratum: defaultdict[str, list[str]] = defaultdict(list)
    for device, stratum in strata:
        by_stratum[stratum].append(device)
    places: list[tuple[float, bytes, str]] = []
    for devices in by_stratum.values():
        devices.sort(key=lambda device: (rank(rollout_id, device), device))
        share = 1 / len(devices)
        for index, device in enumerate(devices):
            places.append((index * share, rank(rollout_id, device), device))
    return [device for _, _, device in sorted(places)]


def phase_sizes(phases: Sequence[Phase], planned: int, late: int = 0) -> tuple[int, ...]:
    """How many devices each phase reaches, earlier phases included; it never falls.

    `planned` eligible devices were there when the rollout was planned; the `late` ones
    count in the last phase only.
    """
    sizes: list[int] = []
    for index, phase in enumerate(phases):
        total = planned + (late if index == len(phases) - 1 else 0)
        if phase.count is not None:
            size = phase.count
        else:
            # 1e-9: 7 % of 100 devices is 7, also where binary fractions say 7.000000000000001.
            size = math.ceil(total * (phase.percent or 0.0) / 100 - 1e-9)
        sizes.append(max([min(size, total), *sizes[-1:]]))
    return tuple(sizes)


def check_phases(phases: Sequence[Phase]) -> None:
    """Raises UnprocessableError for phases that no rollout can have."""
    if not phases:
        raise UnprocessableError("phases: there is none; give at least one, such as 100%")
    for number, phase in enumerate(phases, start=1):
        if (phase.count is None) == (phase.percent is None):
            raise UnprocessableError(
                f"phase {number}: give either a count of devices or a percent of the group"
            )
    for kind in ("count", "percent"):
        values = [value for p in phases if (value := getattr(p, kind)) is not None]
        if values != sorted(set(values)):
            raise UnprocessableError(
                f"phases: each {kind} includes the phases before, so it must rise; got "
                + ", ".join(f"{value:g}" for value in values),
            )
