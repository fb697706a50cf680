"""Open a bundle: parse it strictly, then (verify) hold every byte against its digest."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright_manifests import topics
from edgewright_manifests.bundle import oci
from edgewright_manifests.bundle.oci import Descriptor, VariantManifest
from edgewright_manifests.bundle.unpacked import assemble_unpacked
from edgewright_manifests.digest import Digest, digest_of, digest_of_file
from edgewright_manifests.errors import BundleError, DocumentError
from edgewright_manifests.variant import Variant

if TYPE_CHECKING:
    from edgewright_manifests.golden import GoldenVectors

_REMEDY = "get the bundle again from where it was made"


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """One variant in a bundle."""

    variant: Variant
    manifest: VariantManifest
    manifest_digest: Digest
    manifest_bytes: bytes
    bundle_path: Path

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """Every layer of the variant's manifest."""
        return self.manifest.layers

    @property
    def golden(self) -> Descriptor:
        """The golden vectors' blob."""
        return self.manifest.golden

    def read_golden(self) -> "GoldenVectors":
        """The golden vectors, verified and checked against the signature. Raises BundleError."""
        # Only here: a device's agent parses manifests, and must not carry numpy for it.
        from edgewright_manifests.golden import read_golden

        return read_golden(_read_blob(self.bundle_path, self.golden), self.variant.signature)

    def read_layer(self, title: str) -> bytes:
        """The verified bytes of the layer with this file name. Raises BundleError."""
        for layer in self.layers:
            if layer.title == title:
                return _read_blob(self.bundle_path, layer)
        known = ", ".join(layer.title for layer in self.layers)
        raise BundleError(f"variant {self.variant.id}: has no file {title}; it has {known}")

    def unpack(self, folder: Path) -> None:
        """Make `folder` an unpacked variant: variant.json, golden.npz and the artifact's files.

        Raises BundleError when a blob is damaged or `folder` exists and is not empty.
        """
        blobs = {blob.digest: blob_path(self.bundle_path, blob.digest) for blob in self.layers}
        assemble_unpacked(folder, self.manifest_bytes, blobs, link=False)


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle. Index, manifests and variant documents are verified; see verify()."""

    path: Path
    name: str
    version: str
    digest: Digest
    """Digest of the bundle index: it stands for every byte of the bundle."""
    entries: tuple[BundleEntry, ...]
    blobs: dict[Digest, int]
    """Every blob that belongs to the bundle, with its size in bytes."""

    def verify(self) -> None:
        """Check every byte: each blob's digest, nothing missing, nothing that does not belong.

        Raises BundleError, naming the file, for one flipped bit anywhere.
        """
        _refuse_strays(self.path, set(self.blobs))
        for digest, size_bytes in self.blobs.items():
            path = blob_path(self.path, digest)
            _check_size(path, size_bytes)
            try:
                actual = digest_of_file(path)
            except OSError as error:
                raise _unreadable(path, error) from error
            if actual != digest:
                raise _damaged(path, actual)
        for entry in self.entries:
            try:
                entry.read_golden()
            except BundleError as error:
                raise BundleError(f"{self.path}: variant {entry.variant.id}: {error}") from error

    def read_blob(self, digest: Digest) -> bytes:
        """The verified bytes of one blob. Raises BundleError when it is not in the bundle."""
        if digest not in self.blobs:
            raise BundleError(f"{self.path}: there is no blob {digest} in this bundle")
        return _read_blob(self.path, Descriptor("", digest, self.blobs[digest], ""))

    def entry(self, name: str) -> BundleEntry:
        """The variant of this id (`onnx-int8`), or the only one for this target (`onnx`).

        Raises BundleError, listing what there is, when there is none or more than one.
        """
        found = [e for e in self.entries if name in (e.variant.id, e.variant.target)]
        if len(found) != 1:
            known = ", ".join(e.variant.id for e in self.entries)
            problem = "no variant" if not found else "more than one variant"
            raise BundleError(f"{self.path}: there is {problem} {name!r}; it has {known}")
        return found[0]


def open_bundle(path: Path) -> Bundle:
    """Parse the bundle at `path` and verify its index, manifests and variant documents.

    The large blobs are checked for presence and size; Bundle.verify reads them too.
    Raises BundleError for anything that is not exactly a bundle.
    """
    if not path.is_dir():
        raise BundleError(f"{path}: is no bundle (no such folder)")
    oci.decode(_read_document(path / "oci-layout"), oci.OciLayout, str(path / "oci-layout"))
    top_path = path / "index.json"
    top = oci.decode(_read_document(top_path), oci.OciIndex, str(top_path))
    if len(top.manifests) != 1 or top.annotations:
        raise BundleError(f"{top_path}: expected exactly one entry; it has {len(top.manifests)}")
    head = top.manifests[0]
    if head.media_type != oci.INDEX or head.annotations.keys() != {oci.REF_NAME}:
        raise BundleError(f"{top_path}: its entry is no edgewright bundle (an OCI image index)")
    index_path = blob_path(path, head.digest)
    index = oci.decode(_read_oci(path, head), oci.OciIndex, str(index_path))
    name, version = _identity(index, index_path)
    if head.annotations[oci.REF_NAME] != version:
        raise BundleError(
            f"{top_path}: it is tagged {head.annotations[oci.REF_NAME]!r}, but the bundle inside "
            f"is version {version!r}; copy it under the tag {version}"
        )
    blobs = {head.digest: head.size}
    entries = tuple(_entry(path, found, name, version, blobs) for found in index.manifests)
    if not entries:
        raise BundleError(f"{path}: it has no variants")
    ids = [entry.variant.id for entry in entries]
    if len(set(ids)) != len(ids):
        raise BundleError(f"{path}: two variants have the same id; it has {', '.join(ids)}")
    if any(entry.variant.signature != entries[0].variant.signature for entry in entries):
        raise BundleError(f"{path}: its variants differ in inputs or outputs")
    return Bundle(path, name, version, head.digest, entries, blobs)


def blob_path(bundle: Path, digest: Digest) -> Path:
    """Where a blob lies in a bundle's folder."""
    return bundle / "blobs" / "sha256" / digest.removeprefix("sha256:")


def _identity(index: oci.OciIndex, place: Path) -> tuple[str, str]:
    if index.media_type != oci.INDEX or index.annotations.keys() != {oci.TITLE, oci.VERSION}:
        raise BundleError(f"{place}: is no bundle index (it needs exactly a title and a version)")
    name, version = index.annotations[oci.TITLE], index.annotations[oci.VERSION]
    try:
        return topics.check_name("model", name), topics.check_name("version", version)
    except DocumentError as error:
        raise BundleError(f"{place}: {error}") from error


def _entry(
    path: Path, found: oci.OciDescriptor, name: str, version: str, blobs: dict[Digest, int]
) -> BundleEntry:
    place = blob_path(path, found.digest)
    data = _read_oci(path, found)
    try:
        manifest = oci.parse_manifest(data)
    except BundleError as error:
        raise BundleError(f"{place}: {error}") from error
    variant_path = blob_path(path, manifest.variant.digest)
    document = _read_blob(path, manifest.variant, oci.MAX_DOCUMENT_BYTES)
    variant = oci.decode(document, Variant, str(variant_path))
    _check_variant(variant, manifest, variant_path)
    if (variant.model, variant.version) != (name, version):
        raise BundleError(
            f"{variant_path}: is of {variant.model} {variant.version}, expected {name} {version}"
        )
    annotations = {oci.TARGET: variant.target, oci.PRECISION: variant.precision}
    if found.media_type != oci.MANIFEST or found.annotations != annotations:
        raise BundleError(f"{path}: the bundle index describes variant {variant.id} wrongly")
    parts = [(found.digest, found.size), (manifest.config.digest, manifest.config.size)]
    parts += [(layer.digest, layer.size_bytes) for layer in manifest.layers]
    for digest, size_bytes in parts:
        if blobs.setdefault(digest, size_bytes) != size_bytes:
            raise BundleError(f"{place}: blob {digest} is described with two sizes")
        _check_size(blob_path(path, digest), size_bytes)
    return BundleEntry(variant, manifest, found.digest, data, path)


def _check_variant(variant: Variant, manifest: VariantManifest, place: Path) -> None:
    files = [(file.name, file.digest, file.size_bytes) for file in variant.files]
    layers = [(layer.title, layer.digest, layer.size_bytes) for layer in manifest.artifacts]
    if files != layers:
        raise BundleError(f"{place}: its files are not the artifacts of its manifest")
    if (variant.target, variant.precision) != (manifest.target, manifest.precision):
        raise BundleError(f"{place}: its target or precision is not the one of its manifest")


def _refuse_strays(path: Path, digests: set[Digest]) -> None:
    expected = {blob_path(path, digest) for digest in digests}
    expected |= {path / "oci-layout", path / "index.json"}
    folders = {path / "blobs", path / "blobs" / "sha256"}
    for folder, names, files in os.walk(path, onerror=_raise_unreadable):
        for name in names + files:
            found = Path(folder) / name
            if found not in expected and (found not in folders or found.is_symlink()):
                raise BundleError(
                    f"{found}: does not belong to the bundle; remove it, or {_REMEDY}"
                )


def _read_document(path: Path) -> bytes:
    size_bytes = _regular_size(path)
    if size_bytes > oci.MAX_DOCUMENT_BYTES:
        raise BundleError(f"{path}: {size_bytes} bytes, at most {oci.MAX_DOCUMENT_BYTES} allowed")
    return _read(path)


def _read_oci(bundle: Path, found: oci.OciDescriptor) -> bytes:
    return _read_blob(bundle, Descriptor("", found.digest, found.size, ""), oci.MAX_DOCUMENT_BYTES)


def _read_blob(bundle: Path, blob: Descriptor, limit_bytes: int | None = None) -> bytes:
    path = blob_path(bundle, blob.digest)
    if limit_bytes is not None and blob.size_bytes > limit_bytes:
        raise BundleError(f"{path}: {blob.size_bytes} bytes, at most {limit_bytes} allowed")
    _check_size(path, blob.size_bytes)
    data = _read(path)
    actual = digest_of(data)
    if actual != blob.digest:
        raise _damaged(path, actual)
    return data


def _check_size(path: Path, expected: int) -> None:
    actual = _regular_size(path)
    if actual != expected:
        raise BundleError(f"{path}: has {actual} bytes, expected {expected}; {_REMEDY}")


def _regular_size(path: Path) -> int:
    try:
        status = path.lstat()
    except OSError as error:
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise BundleError(f"{path}: is no regular file; {_REMEDY}")
    return status.st_size


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _damaged(path: Path, actual: Digest) -> BundleError:
    return BundleError(f"{path}: is damaged (its digest is {actual}); {_REMEDY}")


def _unreadable(path: Path, error: OSError) -> BundleError:
    return BundleError(f"{path}: cannot be read ({error.strerror}); {_REMEDY}")


def _raise_unreadable(error: OSError) -> None:
    raise BundleError(f"{error.filename}: cannot be read ({error.strerror})")
