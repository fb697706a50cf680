"""`edgewright runtime status`: what an enrolled device serves, holds and is about to do."""

import argparse
from pathlib import Path

from edgewright_manifests import documents
from edgewright_manifests.documents import Document
from edgewright_manifests.errors import UsageError

from edgewright_runtime.control import Loaded, Measure, Measured, ShadowFigures, Status
from edgewright_runtime.control_client import ControlClient
from edgewright_runtime.errors import ControlFault
from edgewright_runtime.update.cursor import Cursor
from edgewright_runtime.update.slots import SlotRecord


class ServedGeneration(Document, frozen=True):
    """One loaded generation with its figures. Latencies in milliseconds."""

    model: str
    generation: str
    role: str
    variant: str
    placement: str
    requests: int | None = None
    errors: int | None = None
    latency_ms_p50: float | None = None
    latency_ms_p99: float | None = None


class Slot(Document, frozen=True):
    """One slot of the device."""

    name: str
    model: str
    version: str
    variant: str
    mark: str
    active: bool
    reason: str | None = None


class DeviceStatus(Document, frozen=True):
    """What `status --json` prints."""

    running: bool
    problem: str | None
    """Why the server cannot be asked."""
    http: str | None
    generations: tuple[ServedGeneration, ...]
    slots: tuple[Slot, ...]
    state: str
    """Of the server: loading, serving, stopping; unknown while it does not answer."""
    shadows: tuple[ShadowFigures, ...]
    splits: dict[str, float]
    absent: dict[str, str]
    """Models that are known but not in memory, and why."""
    notices: dict[str, str]
    """By model what its last load did to the requests meanwhile."""
    update: str
    """State of the update machine."""
    assignment: int
    reason: str | None
    """Why the last update was refused or taken back."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `Command`."""
    parser.add_argument("--state", type=Path, metavar="DIR", default=Path("edgewright-state"))
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """See `Command`: 1 when the server does not answer."""
    state: Path = arguments.state
    if not state.is_dir():
        raise UsageError(f"{state}: there is no such state folder; name it with --state DIR")
    status = look(state)
    if arguments.json:
        print(documents.encode(status).decode())
    else:
        _print(status)
    return 0 if status.running else 1


def look(state: Path) -> DeviceStatus:
    """Ask the server, and read what lies in the state folder. Raises DocumentError."""
    client = ControlClient(state / "run" / "control.sock")
    loaded: Loaded | None = None
    problem: str | None = None
    try:
        reply = client.ask_blocking(Status())
        loaded = reply if isinstance(reply, Loaded) else None
    except ControlFault as error:
        problem = str(error)
    path = state / "update.json"
    cursor = documents.read_json(path, Cursor) if path.exists() else Cursor()
    return DeviceStatus(
        running=loaded is not None,
        problem=problem,
        http=loaded.http if loaded else None,
        state=loaded.state if loaded else "unknown",
        shadows=loaded.shadows if loaded else (),
        splits=loaded.splits if loaded else {},
        absent=loaded.absent if loaded else {},
        notices=loaded.notices if loaded else {},
        generations=_generations(client, loaded),
        slots=_slots(state),
        update=cursor.state.value,
        assignment=cursor.assignment,
        reason=cursor.reason,
    )


def _generations(client: ControlClient, loaded: Loaded | None) -> tuple[ServedGeneration, ...]:
    found = []
    for each in loaded.generations if loaded else ():
        figures = client.ask_blocking(Measure(each.model, each.generation))
        measured = figures if isinstance(figures, Measured) else None
        found.append(
            ServedGeneration(
                model=each.model,
                generation=each.generation,
                role=each.role,
                variant=each.variant,
                placement=each.placement,
                requests=measured.requests if measured else None,
                errors=measured.errors if measured else None,
                latency_ms_p50=measured.latency_ms_p50 if measured else None,
                latency_ms_p99=measured.latency_ms_p99 if measured else None,
            )
        )
    return tuple(found)


def _slots(state: Path) -> tuple[Slot, ...]:
    link = state / "active"
    active = link.readlink().name if link.is_symlink() else None
    found = []
    for path in sorted(state.glob("slots/[ab]/slot.json")):
        record = documents.read_json(path, SlotRecord)
        found.append(
            Slot(
                name=path.parent.name,
                model=record.installed.model,
                version=record.installed.version,
                variant=record.installed.variant,
                mark=record.mark,
                active=path.parent.name == active,
                reason=record.reason,
            )
        )
    return tuple(found)


def _print(status: DeviceStatus) -> None:
    print(f"server      {'http://' + status.http if status.http else status.problem or 'running'}")
    if status.state != "serving":
        print(f"state       {status.state}")
    print(f"update      {status.update}, assignment {status.assignment}")
    if status.reason:
        print(f"reason      {status.reason}")
    for slot in status.slots:
        word = " (active)" if slot.active else ""
        why = f": {slot.reason}" if slot.reason else ""
        what = f"{slot.model} {slot.version} {slot.variant}"
        print(f"slot {slot.name}      {what}, {slot.mark}{word}{why}")
    for found in status.generations:
        latency = f", p50 {found.latency_ms_p50:.3f} ms" if found.latency_ms_p50 else ""
        print(
            f"{found.role:<12}{found.model} {found.variant} on {found.placement}: "
            f"{found.requests or 0} requests, {found.errors or 0} errors{latency}"
        )
    for shadow in status.shadows:
        agreement = shadow.top1_agreement
        shown = "nothing yet" if agreement is None else f"top-1 the same in {agreement:.1%}"
        snr = "" if shadow.snr_db is None else f", SNR {shadow.snr_db:.1f} dB"
        print(
            f"compared    {shadow.model} with {shadow.generation}: {shadow.compared} requests, "
            f"{shown}, largest error {shadow.largest_error:g}{snr}, {shadow.dropped} dropped"
        )
    for model, share in status.splits.items():
        print(f"split       {share:.0%} of the keys of {model} go to its second release")
    for model, reason in status.absent.items():
        print(f"absent      {model} {reason}")
    for notice in status.notices.values():
        print(f"notice      {notice}")
