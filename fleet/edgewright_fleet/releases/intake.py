"""The server's side of publishing: verify the whole bundle and the signed targets, then accept."""

import datetime
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from edgewright_manifests import documents
from edgewright_manifests.bundle import Bundle, BundleEntry, open_bundle
from edgewright_manifests.bundle.oci import TITLE, VERSION, OciIndex, decode
from edgewright_manifests.custom import read_custom
from edgewright_manifests.digest import Digest
from edgewright_manifests.documents import Document
from edgewright_manifests.errors import BundleError
from edgewright_manifests.release import ImageCustom, target_path

from edgewright_fleet.errors import ConflictError, UnprocessableError
from edgewright_fleet.releases.signing import Signing
from edgewright_fleet.store import Blobs, ReleaseRecord, Releases, VariantRecord


class NewRelease(Document, frozen=True):
    """POST /api/v1/releases, once the blobs are there."""

    index: str
    """The bundle's index.json."""
    blobs: tuple[Digest, ...]
    """Every blob of the bundle."""
    targets: str
    """The image repository's next targets.json, signed by the offline key."""


class ReleaseIntake:
    """Takes releases in. Calls block (SQL, hashing, fsync)."""

    def __init__(
        self,
        releases: Releases,
        blobs: Blobs,
        signing: Signing,
        work: Path,
        clock: Callable[[], datetime.datetime],
    ) -> None:
        self._releases = releases
        self._blobs = blobs
        self._signing = signing
        self._work = work
        self._clock = clock

    def name_of(self, new: NewRelease) -> tuple[str, str]:
        """Model and version that are about to be published, from index and bundle index.

        Raises BundleError, UnknownName; everything is verified by `accept` only.
        """
        top = decode(new.index.encode(), OciIndex, "index.json")
        if len(top.manifests) != 1:
            raise BundleError("index.json: expected exactly one entry")
        digest = top.manifests[0].digest
        index = decode(self._blobs.read(digest), OciIndex, "bundle index")
        return index.annotations.get(TITLE, "?"), index.annotations.get(VERSION, "?")

    def accept(self, new: NewRelease, user: str) -> ReleaseRecord:
        """Verify and publish; the same release again gives what is there already.

        Raises BundleError for a damaged bundle, TrustError for targets that the offline key
        did not sign, UnprocessableError for targets that do not describe the bundle,
        ConflictError for a version that has other content. Nothing is changed then.
        """
        self._work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._work) as name:
            bundle = self._assemble(Path(name) / "bundle", new)
            known = self._releases.find(bundle.name, bundle.version)
            if known is not None:
                if known.bundle == bundle.digest:
                    return known
                raise ConflictError(
                    f"{bundle.name}@{bundle.version} is published already with other content; "
                    "publish this as a new version"
                )
            release = self._describe(bundle, _customs(new.targets), user)
            manifests = {
                record.target_path: entry.manifest_bytes
                for record, entry in zip(release.variants, bundle.entries, strict=True)
            }
        self._signing.accept_targets(new.targets.encode(), manifests)
        self._releases.add(release)
        return release

    def _assemble(self, folder: Path, new: NewRelease) -> Bundle:
        """The bundle as a folder of hard links, so that the one strict reader reads it."""
        blobs = folder / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        (folder / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
        (folder / "index.json").write_text(new.index)
        missing = self._blobs.missing(new.blobs)
        if missing:
            raise UnprocessableError(f"{len(missing)} blobs were not uploaded, first {missing[0]}")
        for digest in dict.fromkeys(new.blobs):
            os.link(self._blobs.path(digest), blobs / digest.removeprefix("sha256:"))
        try:
            bundle = open_bundle(folder)
            bundle.verify()
        except BundleError as error:
            raise BundleError(str(error).replace(f"{folder}/", "")) from error
        return bundle

    def _describe(
        self, bundle: Bundle, customs: dict[str, ImageCustom], user: str
    ) -> ReleaseRecord:
        records = tuple(_variant(bundle, entry, customs) for entry in bundle.entries)
        counters = {record.image.release_counter for record in records}
        if len(counters) != 1:
            raise UnprocessableError(
                f"targets: {bundle.name}@{bundle.version} has several release counters"
            )
        return ReleaseRecord(
            model=bundle.name,
            version=bundle.version,
            bundle=bundle.digest,
            release_counter=counters.pop(),
            published=self._clock(),
            published_by=user,
            variants=records,
        )


class _Target(msgspec.Struct):
    custom: object


class _Signed(msgspec.Struct):
    targets: dict[str, _Target]


class _TargetsFile(msgspec.Struct):
    """So much of targets.json as is needed before its signature is verified."""

    signed: _Signed


def _customs(text: str) -> dict[str, ImageCustom]:
    """By target path; believed once ImageRepository.accept_targets verified the same bytes."""
    parsed = documents.decode(text, _TargetsFile, source="targets").signed.targets
    return {path: read_custom(target.custom, ImageCustom, path) for path, target in parsed.items()}


def _variant(bundle: Bundle, entry: BundleEntry, customs: dict[str, ImageCustom]) -> VariantRecord:
    variant = entry.variant
    path = target_path(bundle.name, bundle.version, variant.id)
    found = customs.get(path)
    if found is None:
        raise UnprocessableError(f"targets: {path} is not among them; sign the whole bundle")
    expected = ImageCustom(
        kind="model",
        model=bundle.name,
        version=bundle.version,
        release_counter=found.release_counter,
        bundle=bundle.digest,
        target=variant.target,
        precision=variant.precision,
        hardware_ids=found.hardware_ids,
    )
    if found != expected:
        raise UnprocessableError(f"targets: {path} does not describe the bundle that was sent")
    return VariantRecord(
        manifest=entry.manifest_digest,
        manifest_size_bytes=len(entry.manifest_bytes),
        target_path=path,
        variant=variant,
        image=found,
    )
