"""`edgewright runtime models`: what a running server serves, asked over HTTP."""

import argparse
import http.client
from urllib.parse import quote

import msgspec
from edgewright_manifests.signature import TensorSpec

from edgewright_runtime.engine.describing import shown_side
from edgewright_runtime.errors import RuntimeFault, one_line
from edgewright_runtime.serving.tcp_door import parse_address

_TIMEOUT_S = 5.0


class _Entry(msgspec.Struct, frozen=True):
    name: str
    state: str
    version: str | None = None


class _Metadata(msgspec.Struct, frozen=True):
    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: dict[str, str] = {}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `Command`."""
    parser.add_argument("--http", metavar="HOST:PORT", default="127.0.0.1:8000")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """See `Command`."""
    models = ask(arguments.http)
    if arguments.json:
        print(msgspec.json.encode(models).decode())
        return 0
    for model in models:
        print(f"{model.name} {', '.join(model.versions)}  {model.parameters.get('variant', '')}")
        print(f"    in      {shown_side(model.inputs)}")
        print(f"    out     {shown_side(model.outputs)}")
        print(f"    runs on {model.parameters.get('placement', model.platform)}")
    if not models:
        print("nothing is served yet")
    return 0


def ask(address: str) -> list[_Metadata]:
    """The metadata of every model that is ready. Raises RuntimeFault when nobody answers."""
    host, port = parse_address(address)
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        index = _fetch(connection, "POST", "/v2/repository/index")
        entries = msgspec.json.decode(index, type=list[_Entry])
        return [
            msgspec.json.decode(
                _fetch(connection, "GET", f"/v2/models/{quote(entry.name, safe='')}"),
                type=_Metadata,
            )
            for entry in entries
            if entry.state == "READY"
        ]
    except (OSError, http.client.HTTPException) as error:
        raise RuntimeFault(
            f"{address}: no server answers there ({one_line(error)}); start one with "
            "`edgewright runtime serve`, or name its address with --http"
        ) from error
    except msgspec.DecodeError as error:
        raise RuntimeFault(f"{address}: what answers there is no edgewright server") from error
    finally:
        connection.close()


def _fetch(connection: http.client.HTTPConnection, method: str, path: str) -> bytes:
    connection.request(method, path)
    with connection.getresponse() as response:
        return response.read()
