"""Write a bundle: collect blobs and variants, then put the whole folder in place at once."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from edgewright_manifests import documents, topics
from edgewright_manifests.bundle import oci
from edgewright_manifests.bundle.oci import Descriptor, OciDescriptor
from edgewright_manifests.bundle.reader import open_bundle
from edgewright_manifests.digest import Digest, digest_of
from edgewright_manifests.errors import BundleError
from edgewright_manifests.preprocessing import Preprocessing
from edgewright_manifests.signature import ModelSignature
from edgewright_manifests.variant import (
    ArtifactFile,
    Constraints,
    Precision,
    Quality,
    Target,
    Tolerance,
    Variant,
)

_RESERVED = (oci.ARTIFACT, oci.VARIANT, oci.GOLDEN)


class _ModelDescription(msgspec.Struct, frozen=True):
    name: str
    version: str


class _ModelFiles(msgspec.Struct, frozen=True, rename={"diff_ids": "diffIds"}):
    type: str
    diff_ids: tuple[Digest, ...]


class _ModelTechnical(msgspec.Struct, frozen=True):
    format: str
    precision: str


class _ModelConfig(msgspec.Struct, frozen=True):
    """ModelPack's config: what a registry shows about the model."""

    descriptor: _ModelDescription
    modelfs: _ModelFiles
    config: _ModelTechnical


class BundleWriter:
    """Collects one model version's variants, then commits them as a bundle.

    A context manager: what was collected is dropped at the end, committed or not. Equal
    input gives equal bytes. Raises DocumentError for a name or version that cannot stand
    in a topic, a path and a tag.
    """

    def __init__(self, name: str, version: str) -> None:
        self.name = topics.check_name("model", name)
        self.version = topics.check_name("version", version)
        self._spool = tempfile.TemporaryDirectory(prefix="edgewright-bundle-")
        self._sizes: dict[Digest, int] = {}
        self._manifests: list[OciDescriptor] = []
        self._variants: list[Variant] = []
        self._loose: dict[Digest, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._spool.cleanup()

    def add_blob(self, data: bytes, media_type: str, title: str) -> Descriptor:
        """Keep a file that variants share (report, model card); pass it on as `shared`.

        The same bytes are stored once. Raises BundleError for an unsafe `title` or a media
        type that only add_variant may write.
        """
        if media_type in _RESERVED:
            raise BundleError(f"{title}: blobs of type {media_type} are written by add_variant")
        blob = self._store(data, media_type, title)
        self._loose[blob.digest] = title
        return blob

    def add_variant(
        self,
        *,
        target: Target,
        precision: Precision,
        recipe: str,
        signature: ModelSignature,
        files: Mapping[str, bytes],
        quality: Quality,
        tolerance: Tolerance,
        golden: bytes,
        claimed: bool = False,
        constraints: Constraints | None = None,
        preprocessing: Preprocessing | None = None,
        shared: Sequence[Descriptor] = (),
    ) -> Variant:
        """Add one converted form; the first of `files` is the one that the engine opens.

        `golden` is an `.npz` as golden.write_golden gives it. Raises BundleError when it
        does not fit `signature`, a name is unsafe or taken, the variant's id is in the
        bundle already, or the signature differs from another variant's.
        """
        # Only here: a device's agent imports this package, and must not carry numpy for it.
        from edgewright_manifests.golden import read_golden

        if not files:
            raise BundleError(f"variant {target}-{precision}: it needs at least one file")
        for known in self._variants:
            if known.id == f"{target}-{precision}":
                raise BundleError(f"variant {known.id}: is in the bundle already")
            if known.signature != signature:
                raise BundleError(
                    f"variant {target}-{precision}: inputs or outputs differ from {known.id}'s"
                )
        read_golden(golden, signature)
        artifacts = [self._store(data, oci.ARTIFACT, name) for name, data in files.items()]
        variant = Variant(
            model=self.name,
            version=self.version,
            target=target,
            precision=precision,
            recipe=recipe,
            signature=signature,
            files=tuple(
                ArtifactFile(name=file.title, digest=file.digest, size_bytes=file.size_bytes)
                for file in artifacts
            ),
            quality=quality,
            tolerance=tolerance,
            claimed=claimed,
            constraints=constraints or Constraints(),
            preprocessing=preprocessing,
        )
        document = self._store(documents.encode(variant), oci.VARIANT, oci.VARIANT_FILE)
        vectors = self._store(golden, oci.GOLDEN, oci.GOLDEN_FILE)
        layers = (*artifacts, document, vectors, *shared)
        self._manifests.append(self._write_manifest(variant, layers))
        self._variants.append(variant)
        for layer in layers:
            self._loose.pop(layer.digest, None)
        return variant

    def commit(self, out: Path, *, replace: bool = False) -> None:
        """Put the bundle at `out`: built beside it, fsynced, then renamed into place.

        With `replace` a bundle that is there is taken over; anything else that is there is
        never touched. Raises BundleError when `out` exists and may not be replaced, when it
        cannot be written, when no variant was added, or when a blob is in no variant.
        """
        if not self._manifests:
            raise BundleError(f"{out}: a bundle needs at least one variant")
        for title in self._loose.values():
            raise BundleError(f"{out}: {title} is in no variant; pass it to add_variant as shared")
        self._check_destination(out, replace=replace)
        staging: Path | None = None
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
            staging.chmod(0o755)
            self._write_layout(staging)
            open_bundle(staging).verify()
            _swap(staging, out)
        except OSError as error:
            raise BundleError(f"{out}: cannot be written: {error.strerror}") from error
        finally:
            if staging is not None:
                shutil.rmtree(staging, ignore_errors=True)

    def _check_destination(self, out: Path, *, replace: bool) -> None:
        if not out.exists() and not out.is_symlink():
            return
        if not replace:
            raise BundleError(f"{out}: exists already; choose another name or remove it")
        if out.is_symlink() or not (out / "oci-layout").is_file():
            raise BundleError(f"{out}: exists and is no bundle; it is not overwritten")

    def _store(self, data: bytes, media_type: str, title: str) -> Descriptor:
        oci.check_title(title)
        digest = digest_of(data)
        if digest not in self._sizes:
            (Path(self._spool.name) / digest.removeprefix("sha256:")).write_bytes(data)
            self._sizes[digest] = len(data)
        return Descriptor(media_type, digest, len(data), title)

    def _write_manifest(self, variant: Variant, layers: tuple[Descriptor, ...]) -> OciDescriptor:
        config = documents.encode(
            _ModelConfig(
                descriptor=_ModelDescription(self.name, self.version),
                modelfs=_ModelFiles("layers", tuple(layer.digest for layer in layers)),
                config=_ModelTechnical(variant.target, variant.precision),
            )
        )
        stored = self._store(config, oci.MODEL_CONFIG, "config.json")
        annotations: dict[str, str] = {oci.TARGET: variant.target, oci.PRECISION: variant.precision}
        data = documents.encode(
            oci.OciManifest(
                schema_version=2,
                media_type=oci.MANIFEST,
                artifact_type=oci.MODEL,
                config=OciDescriptor(
                    media_type=stored.media_type, digest=stored.digest, size=stored.size_bytes
                ),
                layers=tuple(layer.to_oci() for layer in layers),
                annotations=annotations,
            )
        )
        oci.parse_manifest(data)  # what the reader would refuse is refused here
        manifest = self._store(data, oci.MANIFEST, "manifest.json")
        return OciDescriptor(
            media_type=oci.MANIFEST,
            digest=manifest.digest,
            size=manifest.size_bytes,
            annotations=annotations,
        )

    def _write_layout(self, folder: Path) -> None:
        index = documents.encode(
            oci.OciIndex(
                schema_version=2,
                media_type=oci.INDEX,
                manifests=tuple(self._manifests),
                annotations={oci.TITLE: self.name, oci.VERSION: self.version},
            )
        )
        stored = self._store(index, oci.INDEX, "index.json")
        top = oci.OciIndex(
            schema_version=2,
            manifests=(
                OciDescriptor(
                    media_type=oci.INDEX,
                    digest=stored.digest,
                    size=stored.size_bytes,
                    annotations={oci.REF_NAME: self.version},
                ),
            ),
        )
        blobs = folder / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        for digest in self._sizes:
            name = digest.removeprefix("sha256:")
            _write_synced(blobs / name, (Path(self._spool.name) / name).read_bytes())
        _write_synced(folder / "index.json", documents.encode(top))
        layout = oci.OciLayout(image_layout_version="1.0.0")
        _write_synced(folder / "oci-layout", documents.encode(layout))
        for synced in (blobs, blobs.parent, folder):
            documents.sync_folder(synced)


def _swap(staging: Path, out: Path) -> None:
    if out.exists():
        # A folder that is not empty cannot be renamed over: move the old bundle aside first.
        old = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        out.replace(old)
        try:
            staging.replace(out)
        except OSError:
            with contextlib.suppress(OSError):
                old.replace(out)
            raise
        shutil.rmtree(old, ignore_errors=True)
    else:
        staging.replace(out)
    documents.sync_folder(out.parent)


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
