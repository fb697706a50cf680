"""Published releases and their variants."""

import datetime

from edgewright_manifests import documents
from edgewright_manifests.digest import Digest
from edgewright_manifests.documents import Document
from edgewright_manifests.release import ImageCustom
from edgewright_manifests.variant import Variant
from sqlalchemy import ColumnElement, insert, select, true
from sqlalchemy.exc import IntegrityError

from edgewright_fleet.errors import ConflictError, UnknownName
from edgewright_fleet.store.database import Database
from edgewright_fleet.store.schema import releases, variants


class VariantRecord(Document, frozen=True):
    """One variant of a release, as the image repository's target names it."""

    manifest: Digest
    manifest_size_bytes: int
    target_path: str
    variant: Variant
    image: ImageCustom


class ReleaseRecord(Document, frozen=True):
    """One version of one model."""

    model: str
    version: str
    bundle: Digest
    release_counter: int
    published: datetime.datetime
    published_by: str
    variants: tuple[VariantRecord, ...]


class Releases:
    """The tables of releases and variants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, release: ReleaseRecord) -> None:
        """Keep a new release. Raises ConflictError when this version is published already."""
        try:
            with self._database.writing() as connection:
                connection.execute(
                    insert(releases).values(
                        model=release.model,
                        version=release.version,
                        bundle=release.bundle,
                        release_counter=release.release_counter,
                        published=release.published,
                        published_by=release.published_by,
                    )
                )
                for record in release.variants:
                    connection.execute(
                        insert(variants).values(
                            manifest=record.manifest,
                            model=release.model,
                            version=release.version,
                            target_path=record.target_path,
                            manifest_size_bytes=record.manifest_size_bytes,
                            document=documents.encode(record.variant),
                            image_custom=documents.encode(record.image),
                        )
                    )
        except IntegrityError as error:
            raise ConflictError(
                f"release {release.model}@{release.version} is published already"
            ) from error

    def get(self, model: str, version: str) -> ReleaseRecord:
        """One release. Raises UnknownName that names the versions there are."""
        found = self.find(model, version)
        if found is None:
            known = ", ".join(f"{r.model}@{r.version}" for r in self.all()) or "none yet"
            raise UnknownName(f"release {model}@{version} is not published; published: {known}")
        return found

    def find(self, model: str, version: str) -> ReleaseRecord | None:
        """One release, or None."""
        found = self._load(
            (releases.c.model == model) & (releases.c.version == version),
            (variants.c.model == model) & (variants.c.version == version),
        )
        return found[0] if found else None

    def all(self) -> list[ReleaseRecord]:
        """Every release, the newest first."""
        return self._load(true(), true())

    def _load(
        self, which: ColumnElement[bool], of_these: ColumnElement[bool]
    ) -> list[ReleaseRecord]:
        newest_first = (releases.c.published.desc(), releases.c.version.desc())
        with self._database.reading() as connection:
            rows = connection.execute(select(releases).where(which).order_by(*newest_first)).all()
            parts = connection.execute(
                select(variants).where(of_these).order_by(variants.c.target_path)
            ).all()
        by_release: dict[tuple[str, str], list[VariantRecord]] = {}
        for part in parts:
            by_release.setdefault((part.model, part.version), []).append(
                VariantRecord(
                    manifest=part.manifest,
                    manifest_size_bytes=part.manifest_size_bytes,
                    target_path=part.target_path,
                    variant=documents.decode(part.document, Variant, source="variants.document"),
                    image=documents.decode(
                        part.image_custom, ImageCustom, source="variants.image_custom"
                    ),
                )
            )
        return [
            ReleaseRecord(
                model=row.model,
                version=row.version,
                bundle=row.bundle,
                release_counter=row.release_counter,
                published=row.published,
                published_by=row.published_by,
                variants=tuple(by_release.get((row.model, row.version), ())),
            )
            for row in rows
        ]
