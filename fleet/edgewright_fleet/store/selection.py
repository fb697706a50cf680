"""Which variant of a release a device gets; no I/O."""

from edgewright_manifests.device_profile import DeviceProfile, load_profile, select_variant
from edgewright_manifests.errors import DocumentError
from edgewright_manifests.variant import TARGETS

from edgewright_fleet.store.devices import DeviceRecord
from edgewright_fleet.store.releases import ReleaseRecord, VariantRecord

ANY_HARDWARE = "any"


def choose_variant(
    device: DeviceRecord, release: ReleaseRecord, wanted: str | None = None
) -> VariantRecord | str:
    """The variant for this device, or one line that says why there is none.

    `wanted` names one variant id that is given back as it is (a rollback to what ran there).
    """
    for_hardware = [
        record
        for record in release.variants
        if ANY_HARDWARE in record.image.hardware_ids
        or device.hardware_id in record.image.hardware_ids
    ]
    if not for_hardware:
        return f"the release is not for hardware {device.hardware_id!r}"
    if wanted is not None:
        found = next((r for r in for_hardware if r.variant.id == wanted), None)
        return found or f"the release has no variant {wanted!r}"
    profile = effective_profile(device)
    chosen = select_variant(profile, [record.variant for record in for_hardware])
    if chosen is None:
        offered = ", ".join(record.variant.id for record in for_hardware)
        runs = ", ".join(profile.targets) or "nothing that is known here"
        return f"no variant fits: the device runs {runs}; the release has {offered}"
    return next(r for r in for_hardware if r.variant == chosen)


def effective_profile(device: DeviceRecord) -> DeviceProfile:
    """The profile by name, with the targets that the device says it can run here and now."""
    try:
        known = load_profile(device.profile) if "/" not in device.profile else None
    except DocumentError:
        known = None  # a profile of the operator's own, which only the device has
    reported = device.report.targets if device.report else ()
    targets = tuple(t for t in TARGETS if t in reported)
    return DeviceProfile(
        name=device.profile,
        description=known.description if known else "",
        hardware_id=device.hardware_id,
        architecture=known.architecture if known else "any",
        targets=tuple(sorted(targets, key=reported.index)) or (known.targets if known else ()),
        memory_bytes=known.memory_bytes if known else 0,
    )
