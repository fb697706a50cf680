"""`fleet serve --config F.toml`: one frozen value, every default with its reason.

tenant = "default"
data = "/var/lib/edgewright-fleet"
keys = "/etc/edgewright/keys/online"
database_url_file = "/etc/edgewright/database-url"   # postgresql+psycopg://...

[listen]
host = "0.0.0.0"
names = ["fleet.example.org"]
operator_port = 8443

[broker]                # an MQTT 5 broker of your own instead of the embedded one
host = "mqtt.example.org"
port = 8883
"""

from pathlib import Path

import msgspec
from edgewright_manifests import documents
from edgewright_manifests.documents import Document
from edgewright_manifests.topics import check_name


class Listen(Document, frozen=True):
    """Where the three doors are. Port 0 takes a free one at the first start and keeps it."""

    host: str = "127.0.0.1"
    """Loopback until told otherwise: a first try must not open doors to the network."""
    names: tuple[str, ...] = ()
    """Names and addresses that devices and operators use; the first goes into tokens."""
    operator_port: int = 0
    device_port: int = 0
    mqtt_port: int = 0


class ExternalBroker(Document, frozen=True):
    """A broker cluster of your own. It must trust data/ca/ca.crt, take the certificate's
    common name as the user, and enforce the ACL that data/mqtt/acl shows."""

    host: str
    port: int = 8883
    ca: str = ""
    """PEM file that vouches for the broker's certificate; the fleet's own CA when empty."""


class FleetConfig(Document, frozen=True):
    """Everything that `fleet serve` may be told."""

    tenant: str = "default"
    data: str = "edgewright-fleet"
    """Relative to where the server is started, so that a first try leaves one visible folder."""
    keys: str = ""
    """Folder of the online keys; `data/keys/online`, made when missing, when empty."""
    database_url_file: str = ""
    """A file with the database's URL (it may hold a password); SQLite in `data` when empty."""
    listen: Listen = Listen()
    broker: ExternalBroker | None = None


def load_config(path: Path | None, *, data: str | None, keys: str | None) -> FleetConfig:
    """The configuration file, or the defaults, with what the command line overrides.

    Raises DocumentError for an unknown key (naming the nearest) or a wrong value.
    """
    config = documents.read_toml(path, FleetConfig) if path else FleetConfig()
    check_name("tenant", config.tenant)
    return msgspec.structs.replace(config, data=data or config.data, keys=keys or config.keys)
