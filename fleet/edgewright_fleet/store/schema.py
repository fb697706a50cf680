"""The tables, in SQLAlchemy Core; migrations/ brings a database to them."""

import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)


class Utc(TypeDecorator[datetime.datetime]):
    """A point in time; SQLite forgets the zone, so it is stored and read as UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self, value: datetime.datetime | None, dialect: Dialect
    ) -> datetime.datetime | None:
        """Every time goes in as UTC."""
        return value.astimezone(datetime.UTC) if value is not None else None

    def process_result_value(
        self, value: datetime.datetime | None, dialect: Dialect
    ) -> datetime.datetime | None:
        """Every time comes out with its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=value.tzinfo or datetime.UTC).astimezone(datetime.UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

devices = Table(
    "devices",
    metadata,
    # One fleet has one CA, and a certificate's common name has no tenant: ids are unique in it.
    Column("id", String(63), primary_key=True),
    Column("tenant", String(63), nullable=False),
    Column("profile", String(255), nullable=False),
    Column("hardware_id", String(255), nullable=False),
    Column("certificate", Text, nullable=False),
    Column("fingerprint", String(71), nullable=False, index=True),
    Column("serial", String(64), nullable=False),
    Column("enrolled", Utc, nullable=False),
    Column("revoked", Utc),
    Column("online", Boolean, nullable=False, default=False),
    Column("last_seen", Utc),
    Column("sequence", BigInteger, nullable=False, default=0),
    Column("state", String(16)),
    Column("active_model", String(63)),
    Column("active_version", String(63)),
    Column("report", LargeBinary),
)

tokens = Table(
    "tokens",
    metadata,
    # SHA-256 of the secret: a copy of the database enrols nobody.
    Column("secret_hash", String(64), primary_key=True),
    Column("expires", Utc, nullable=False),
    Column("uses_left", Integer, nullable=False),
    Column("created", Utc, nullable=False),
    Column("created_by", String(255), nullable=False),
)

releases = Table(
    "releases",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("version", String(63), primary_key=True),
    Column("bundle", String(71), nullable=False),
    Column("release_counter", Integer, nullable=False),
    Column("published", Utc, nullable=False),
    Column("published_by", String(255), nullable=False),
)

variants = Table(
    "variants",
    metadata,
    Column("manifest", String(71), primary_key=True),
    Column("model", String(63), nullable=False, index=True),
    Column("version", String(63), nullable=False),
    Column("target_path", String(255), nullable=False, unique=True),
    Column("manifest_size_bytes", Integer, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("image_custom", LargeBinary, nullable=False),
)

assignments = Table(
    "assignments",
    metadata,
    Column("device", String(63), ForeignKey("devices.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    # Who asks again with the same key gets the same assignment.
    Column("key", String(255), nullable=False, unique=True),
    Column("model", String(63), nullable=False),
    # Version and target are empty where an assignment was withdrawn.
    Column("version", String(63)),
    Column("target_path", String(255)),
    Column("manifest", String(71)),
    Column("manifest_size_bytes", Integer),
    Column("custom", LargeBinary),
    # Digest of the director's timestamp.json; empty until the metadata is written and signed.
    Column("director_timestamp", String(71), nullable=False, default=""),
    Column("created", Utc, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", String(191), primary_key=True),
    Column("device", String(63), ForeignKey("devices.id"), nullable=False),
    Column("assignment", Integer, nullable=False),
    Column("time", Utc, nullable=False),
    Column("received", Utc, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Index("ix_events_device_assignment", "device", "assignment"),
    Index("ix_events_received", "received"),
)

groups = Table("groups", metadata, Column("name", String(63), primary_key=True))

group_members = Table(
    "group_members",
    metadata,
    Column("group_name", String(63), ForeignKey("groups.name"), primary_key=True),
    Column("device", String(63), ForeignKey("devices.id"), primary_key=True),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", String(63), primary_key=True),
    Column("state", String(16), nullable=False, index=True),
    Column("created", Utc, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("document", LargeBinary, nullable=False),
)

rollout_devices = Table(
    "rollout_devices",
    metadata,
    Column("rollout", String(63), ForeignKey("rollouts.id"), primary_key=True),
    Column("device", String(63), ForeignKey("devices.id"), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("assignment", Integer),
    Column("restore", String(16), nullable=False),
    Column("document", LargeBinary, nullable=False),
)
