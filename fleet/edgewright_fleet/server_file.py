"""`data/server.json`: how commands on the same machine find the running server."""

from edgewright_manifests.documents import Document

SERVER_FILE = "server.json"
TOKEN_FILE = "admin-token"  # noqa: S105 - a file's name, no secret
CA_FILE = "ca.crt"


class ServerFile(Document, frozen=True):
    """Written when every door answers, removed at an orderly end."""

    operator_url: str
    device_url: str
    mqtt_host: str
    mqtt_port: int
    pid: int
