"""The OCI documents inside a bundle: media types, descriptors, and the strict parsing of them.

Format: https://github.com/opencontainers/image-spec (image layout 1.0.0, image index,
image manifest) with the media types of https://github.com/modelpack/model-spec for
the model's own layers. A device has only the bytes of one variant's manifest, which
TUF vouches for; parse_manifest gives it all that it must fetch.
"""

import re
from typing import Annotated, Literal, NamedTuple, TypeVar

import msgspec

from edgewright_manifests import documents
from edgewright_manifests.digest import Digest
from edgewright_manifests.documents import Document
from edgewright_manifests.errors import BundleError, DocumentError

T = TypeVar("T")

INDEX: Literal["application/vnd.oci.image.index.v1+json"] = (
    "application/vnd.oci.image.index.v1+json"
)
MANIFEST: Literal["application/vnd.oci.image.manifest.v1+json"] = (
    "application/vnd.oci.image.manifest.v1+json"
)
MODEL: Literal["application/vnd.cncf.model.manifest.v1+json"] = (
    "application/vnd.cncf.model.manifest.v1+json"
)
MODEL_CONFIG = "application/vnd.cncf.model.config.v1+json"
ARTIFACT = "application/vnd.cncf.model.weight.v1.raw"
"""Layers that are the variant's files, in the order of Variant.files."""
DOCUMENT = "application/vnd.cncf.model.doc.v1.raw"
"""Layers for people: the model card, report.html."""
VARIANT = "application/vnd.edgewright.variant.v1+json"
GOLDEN = "application/vnd.edgewright.golden.v1+npz"
REPORT = "application/vnd.edgewright.report.v1+json"
MEASUREMENTS = "application/vnd.edgewright.measurements.v1+json"
"""The only layer that may hold times: everything else has equal bytes when made again."""

TITLE = "org.opencontainers.image.title"
VERSION = "org.opencontainers.image.version"
REF_NAME = "org.opencontainers.image.ref.name"
TARGET = "vnd.edgewright.target"
PRECISION = "vnd.edgewright.precision"

VARIANT_FILE = "variant.json"
GOLDEN_FILE = "golden.npz"
MAX_DOCUMENT_BYTES = 1024 * 1024
"""Any JSON document of a bundle; a manifest of 100 layers has 25 KiB."""

_TITLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

Size = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class OciDescriptor(Document, frozen=True, rename="camel", omit_defaults=True):
    """A descriptor as OCI writes it.

    No artifactType: skopeo 1.9 drops it while copying, and the index would change.
    """

    media_type: str
    digest: Digest
    size: Size
    annotations: dict[str, str] = msgspec.field(default_factory=dict)


class OciLayout(Document, frozen=True, rename="camel"):
    """The file `oci-layout`."""

    image_layout_version: Literal["1.0.0"]


class OciIndex(Document, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """`index.json`, and the bundle index inside."""

    schema_version: Literal[2]
    media_type: Literal["application/vnd.oci.image.index.v1+json"] | None = None
    manifests: tuple[OciDescriptor, ...]
    annotations: dict[str, str] = msgspec.field(default_factory=dict)


class OciManifest(Document, frozen=True, rename="camel"):
    """One variant's manifest."""

    schema_version: Literal[2]
    media_type: Literal["application/vnd.oci.image.manifest.v1+json"]
    artifact_type: Literal["application/vnd.cncf.model.manifest.v1+json"]
    config: OciDescriptor
    layers: tuple[OciDescriptor, ...]
    annotations: dict[str, str]


class Descriptor(NamedTuple):
    """One blob: what it is, its digest and size, and the file name that it goes by."""

    media_type: str
    digest: Digest
    size_bytes: int
    title: str

    def to_oci(self) -> OciDescriptor:
        """As OCI writes it, with the title as an annotation."""
        return OciDescriptor(
            media_type=self.media_type,
            digest=self.digest,
            size=self.size_bytes,
            annotations={TITLE: self.title},
        )


class VariantManifest(NamedTuple):
    """A variant's manifest, taken apart."""

    target: str
    precision: str
    config: OciDescriptor
    layers: tuple[Descriptor, ...]
    variant: Descriptor
    golden: Descriptor
    artifacts: tuple[Descriptor, ...]
    """The layers that the engine needs, the one it opens first."""

    @property
    def variant_digest(self) -> Digest:
        """Digest of the variant document."""
        return self.variant.digest

    @property
    def needed(self) -> tuple[Descriptor, ...]:
        """What a device must have, the variant document first; the rest is for people."""
        return (self.variant, *self.artifacts, self.golden)


def parse_manifest(data: bytes) -> VariantManifest:
    """Take a variant's manifest apart; strict, for bytes from anywhere.

    Raises BundleError when it is not exactly a manifest as BundleWriter writes them: an
    unknown field, a missing, doubled or unsafe title, no or several variant documents or
    golden vectors, no artifact.
    """
    manifest = decode(data, OciManifest, "variant manifest")
    layers = tuple(_titled(layer) for layer in manifest.layers)
    titles = [layer.title for layer in layers]
    for title in titles:
        if titles.count(title) > 1:
            raise BundleError(f"variant manifest: two layers are named {title}")
    if manifest.config.media_type != MODEL_CONFIG or manifest.config.annotations:
        raise BundleError("variant manifest: its config is no ModelPack config")
    artifacts = tuple(layer for layer in layers if layer.media_type == ARTIFACT)
    if not artifacts:
        raise BundleError("variant manifest: it has no artifact")
    return VariantManifest(
        target=_annotation(manifest.annotations, TARGET),
        precision=_annotation(manifest.annotations, PRECISION),
        config=manifest.config,
        layers=layers,
        variant=_only(layers, VARIANT, VARIANT_FILE),
        golden=_only(layers, GOLDEN, GOLDEN_FILE),
        artifacts=artifacts,
    )


def check_title(title: str) -> str:
    """`title` itself when it is safe as a file name in any folder.

    Raises BundleError for a path, a hidden name, or anything beyond letters, digits,
    '.', '_' and '-'.
    """
    if not _TITLE.fullmatch(title):
        raise BundleError(
            f"file name {title!r}: not allowed in a bundle; use letters, digits, '.', '_' or '-', "
            "starting with a letter or digit"
        )
    return title


def decode(data: bytes, kind: type[T], place: str) -> T:
    """Parse one of a bundle's JSON documents. Raises BundleError that names `place`."""
    if len(data) > MAX_DOCUMENT_BYTES:
        raise BundleError(f"{place}: {len(data)} bytes, at most {MAX_DOCUMENT_BYTES} allowed")
    try:
        return documents.decode(data, kind, source=place)
    except DocumentError as error:
        raise BundleError(str(error)) from error


def _titled(layer: OciDescriptor) -> Descriptor:
    if layer.annotations.keys() != {TITLE}:
        raise BundleError(f"variant manifest: layer {layer.digest} must have a title and no more")
    title = check_title(layer.annotations[TITLE])
    return Descriptor(layer.media_type, layer.digest, layer.size, title)


def _only(layers: tuple[Descriptor, ...], media_type: str, title: str) -> Descriptor:
    found = [layer for layer in layers if layer.media_type == media_type or layer.title == title]
    if len(found) != 1 or found[0].media_type != media_type or found[0].title != title:
        raise BundleError(f"variant manifest: expected exactly one {title} of type {media_type}")
    return found[0]


def _annotation(annotations: dict[str, str], key: str) -> str:
    if annotations.keys() != {TARGET, PRECISION}:
        raise BundleError(f"variant manifest: its annotations must be {TARGET} and {PRECISION}")
    return annotations[key]
