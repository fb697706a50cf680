"""What the API shows of the store's records; also what the commands read."""

import datetime

from edgewright_manifests.documents import Document
from edgewright_manifests.messages import Figures, Installed, Telemetry, UpdateState
from edgewright_manifests.variant import Quality

from edgewright_fleet.store import AssignmentRecord, DeviceRecord, ReleaseRecord


class AssignedView(Document, frozen=True):
    """What a device is to have."""

    number: int
    model: str
    version: str | None
    variant: str | None
    rollout: str | None


class DeviceView(Document, frozen=True):
    """One device, for people and scripts."""

    id: str
    profile: str
    hardware_id: str
    online: bool
    enrolled: datetime.datetime
    revoked: datetime.datetime | None
    last_seen: datetime.datetime | None
    targets: tuple[str, ...]
    agent: str | None
    state: UpdateState | None
    active: Installed | None
    pending: Installed | None
    reason: str | None
    figures: Figures | None
    """From the newer of telemetry and report."""
    memory_bytes: int | None
    temperature_c: float | None
    assigned: AssignedView | None


class VariantView(Document, frozen=True):
    """One variant of a release."""

    id: str
    target: str
    precision: str
    recipe: str
    size_bytes: int
    quality: Quality
    manifest: str
    hardware_ids: tuple[str, ...]


class ReleaseView(Document, frozen=True):
    """One release."""

    model: str
    version: str
    bundle: str
    release_counter: int
    published: datetime.datetime
    published_by: str
    variants: tuple[VariantView, ...]


def view_device(
    device: DeviceRecord, assigned: AssignmentRecord | None, telemetry: Telemetry | None
) -> DeviceView:
    """A device with its last report, its newest assignment and its last telemetry."""
    report = device.report
    return DeviceView(
        id=device.id,
        profile=device.profile,
        hardware_id=device.hardware_id,
        online=device.online,
        enrolled=device.enrolled,
        revoked=device.revoked,
        last_seen=device.last_seen,
        targets=report.targets if report else (),
        agent=report.agent if report else None,
        state=report.state if report else None,
        active=report.active if report else None,
        pending=report.pending if report else None,
        reason=report.reason if report else None,
        figures=telemetry.figures if telemetry else report.figures if report else None,
        memory_bytes=telemetry.memory_bytes if telemetry else None,
        temperature_c=telemetry.temperature_c if telemetry else None,
        assigned=_view_assignment(assigned) if assigned else None,
    )


def view_release(release: ReleaseRecord) -> ReleaseView:
    """A release with its variants."""
    return ReleaseView(
        model=release.model,
        version=release.version,
        bundle=release.bundle,
        release_counter=release.release_counter,
        published=release.published,
        published_by=release.published_by,
        variants=tuple(
            VariantView(
                id=record.variant.id,
                target=record.variant.target,
                precision=record.variant.precision,
                recipe=record.variant.recipe,
                size_bytes=sum(file.size_bytes for file in record.variant.files),
                quality=record.variant.quality,
                manifest=record.manifest,
                hardware_ids=record.image.hardware_ids,
            )
            for record in release.variants
        ),
    )


def _view_assignment(assigned: AssignmentRecord) -> AssignedView:
    custom = assigned.target.custom if assigned.target else None
    return AssignedView(
        number=assigned.number,
        model=assigned.model,
        version=custom.image.version if custom else None,
        variant=f"{custom.image.target}-{custom.image.precision}" if custom else None,
        rollout=custom.rollout if custom else None,
    )
