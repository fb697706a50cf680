"""The unpacked variant: the folder that a slot holds and the engine opens.

`variant.json`, the artifact's files under their own names, and `golden.npz`.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from edgewright_manifests import documents
from edgewright_manifests.bundle import oci
from edgewright_manifests.bundle.oci import Descriptor, parse_manifest
from edgewright_manifests.digest import Digest, digest_of_file
from edgewright_manifests.errors import BundleError
from edgewright_manifests.variant import Variant


def assemble_unpacked(
    folder: Path, manifest_bytes: bytes, blob_paths: Mapping[Digest, Path], *, link: bool = True
) -> Variant:
    """Build an unpacked variant in `folder` from blobs fetched one by one.

    `manifest_bytes` must be trusted already (TUF); each blob is held against the digest
    and size that it names. With `link` the files are hard links where the file system
    allows it, so that nothing is written twice. Everything is fsynced. Raises BundleError when
    a blob is missing or damaged, or `folder` exists and is not empty; what was written by
    then is for the caller to remove.
    """
    manifest = parse_manifest(manifest_bytes)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise BundleError(f"{folder}: is not empty; unpack into a new folder")
        for blob in manifest.needed:
            source = blob_paths.get(blob.digest)
            if source is None:
                raise BundleError(f"{folder}: blob {blob.digest} ({blob.title}) is missing")
            _place(source, folder / blob.title, blob, link=link)
        documents.sync_folder(folder)
        documents.sync_folder(folder.parent)
    except OSError as error:
        raise BundleError(f"{folder}: cannot be unpacked: {error.strerror}") from error
    variant = read_unpacked(folder)
    files = [(file.name, file.digest, file.size_bytes) for file in variant.files]
    if files != [(blob.title, blob.digest, blob.size_bytes) for blob in manifest.artifacts]:
        raise BundleError(f"{folder}: variant.json does not name the artifacts of its manifest")
    return variant


def read_unpacked(folder: Path) -> Variant:
    """The variant unpacked in `folder`, whose files are there with the right sizes.

    Digests were checked when it was unpacked. Raises BundleError, naming the file.
    """
    path = folder / oci.VARIANT_FILE
    try:
        size_bytes = path.stat().st_size
        if size_bytes > oci.MAX_DOCUMENT_BYTES:
            raise BundleError(
                f"{path}: {size_bytes} bytes, at most {oci.MAX_DOCUMENT_BYTES} allowed"
            )
        variant = oci.decode(path.read_bytes(), Variant, str(path))
        if not variant.files:
            raise BundleError(f"{path}: it names no files")
        for file in variant.files:
            found = folder / oci.check_title(file.name)
            actual = found.lstat().st_size
            if not found.is_file() or found.is_symlink() or actual != file.size_bytes:
                raise BundleError(f"{found}: has {actual} bytes, expected {file.size_bytes}")
        if not (folder / oci.GOLDEN_FILE).is_file():
            raise BundleError(f"{folder / oci.GOLDEN_FILE}: is missing")
    except OSError as error:
        raise BundleError(
            f"{error.filename}: cannot be read ({error.strerror}); unpack the variant again"
        ) from error
    return variant


def _place(source: Path, target: Path, blob: Descriptor, *, link: bool) -> None:
    if link:
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError:
            shutil.copyfile(source, target)  # another file system, or one without hard links
    else:
        shutil.copyfile(source, target)
    # The copy is what is checked: the source may change under our hands.
    if target.lstat().st_size != blob.size_bytes or digest_of_file(target) != blob.digest:
        target.unlink()
        raise BundleError(f"{source}: is not {blob.digest} ({blob.title}); fetch it again")
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
