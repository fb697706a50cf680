"""`edgewright runtime models`: what a running server serves, asked over HTTP."""

import argparse
import http
import http.client
import ssl
from pathlib import Path
from urllib.parse import quote

import msgspec
from edgewright_manifests.signature import TensorSpec

from edgewright_runtime.engine.describing import shown_side
from edgewright_runtime.errors import RuntimeFault, one_line
from edgewright_runtime.serving.access import first_token
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
    parser.add_argument(
        "--tls-ca", type=Path, metavar="F.pem", help="speak TLS, and trust these roots"
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="F", help="show the first token of this file"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """See `Command`."""
    token = first_token(arguments.token_file) if arguments.token_file is not None else None
    models = ask(arguments.http, ca=arguments.tls_ca, token=token)
    if arguments.json:
        print(msgspec.json.encode(models).decode())
        return 0
    for model in models:
        print(f"{model.name} {', '.join(model.versions)}  {model.parameters.get('variant', '')}")
        print(f"    in      {shown_side(model.inputs)}")
        print(f"    out     {shown_side(model.outputs)}")
        print(f"    runs on {model.parameters.get('placement', model.platform)}")
        print(f"    batches {model.parameters.get('batching', 'unknown')}")
        changed = model.parameters.get("settings", "{}")
        if changed != "{}":
            print(f"    set     {changed}")
    if not models:
        print("nothing is served yet")
    return 0


def ask(address: str, *, ca: Path | None = None, token: bytes | None = None) -> list[_Metadata]:
    """The metadata of every model that is ready. Raises RuntimeFault when nobody answers."""
    host, port = parse_address(address)
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        if ca is not None:
            context = ssl.create_default_context(cafile=ca)
            connection = http.client.HTTPSConnection(
                host, port, timeout=_TIMEOUT_S, context=context
            )
        index = _fetch(connection, "POST", "/v2/repository/index", token)
        entries = msgspec.json.decode(index, type=list[_Entry])
        return [
            msgspec.json.decode(
                _fetch(connection, "GET", f"/v2/models/{quote(entry.name, safe='')}", token),
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


def _fetch(
    connection: http.client.HTTPConnection, method: str, path: str, token: bytes | None
) -> bytes:
    headers = {} if token is None else {"Authorization": b"Bearer " + token}
    connection.request(method, path, headers=headers)
    with connection.getresponse() as response:
        body = response.read()
        if response.status == http.HTTPStatus.UNAUTHORIZED:
            raise RuntimeFault("the server asks for a token; give --token-file")
        return body
