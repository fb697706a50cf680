"""What the two TUF repositories say about a release, beyond its length and hash.

A release is one version of one model. For each of its variants the image repository
has one TUF target: the variant's OCI manifest, which names every blob by digest and
so is all that must be trusted. The director assigns one such target to one device.
"""

from typing import Literal

from edgewright_manifests.digest import Digest
from edgewright_manifests.documents import Document
from edgewright_manifests.variant import Target

Transport = Literal["https", "mqtt"]


class ProbationPolicy(Document, frozen=True):
    """When a device that switched may keep the new release. Durations in seconds."""

    duration_s: float = 60.0
    """How long the new release must hold up; the deadline survives a restart."""
    min_requests: int = 20
    """Live requests it must have answered before it may commit; quiet devices commit at
    `duration_s * 5` without them."""
    max_error_rate: float = 0.01
    """Share of requests (0..1) that the new release may fail. The previous one answers those."""
    max_latency_ratio: float = 2.0
    """Median latency under live load against the previous release's on this device."""


class ImageCustom(Document, frozen=True):
    """The `custom` of a target in the image repository (signed by the offline targets key)."""

    kind: Literal["model"]
    model: str
    version: str
    release_counter: int
    """Rises with every release of this model; a device never installs a lower one unless
    the director assigns it as a rollback."""
    bundle: Digest
    target: Target
    precision: str
    hardware_ids: tuple[str, ...] = ("any",)


class DirectorCustom(Document, frozen=True):
    """The `custom` of a target in the director repository (signed online, per device)."""

    image: ImageCustom
    device: str
    """The device that this assignment is for; another device refuses it."""
    hardware_id: str
    assignment: int
    """Rises with every change to this device's assignment; echoed in its reports."""
    rollout: str | None = None
    rollback: bool = False
    """True when the assigned release may be older than the installed one."""
    transport: Transport = "https"
    """How the device is to fetch the blobs."""
    probation: ProbationPolicy = ProbationPolicy()


def target_path(model: str, version: str, variant_id: str) -> str:
    """The TUF target path of one variant's manifest, the same in both repositories."""
    return f"{model}/{version}/{variant_id}.json"
