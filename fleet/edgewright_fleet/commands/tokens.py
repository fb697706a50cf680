"""`edgewright fleet token create` and `edgewright fleet console`."""

import argparse
import sys

from edgewright_manifests.documents import Document
from edgewright_manifests.errors import UsageError

from edgewright_fleet.commands.client import FleetClient, add_connection_arguments
from edgewright_fleet.commands.tables import print_json

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class TokenReply(Document, frozen=True):
    """What the server answers; the token is shown once."""

    token: str
    uses: int
    ttl_s: float


class LinkReply(Document, frozen=True):
    """A one-time address of the console."""

    url: str


def add(sub: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = sub.add_parser("token", help="make enrolment tokens")
    actions = parser.add_subparsers(dest="token_command", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a token that enrols devices")
    create.add_argument("--uses", type=int, default=1, help="devices it enrols (default: 1)")
    create.add_argument(
        "--valid", default="24h", metavar="TIME", help="how long: 30m, 24h, 7d (default: 24h)"
    )
    add_connection_arguments(create)
    create.set_defaults(fleet_act=_create)
    console = sub.add_parser("console", help="print an address that logs a browser in, once")
    add_connection_arguments(console)
    console.set_defaults(fleet_act=_console)


def _create(arguments: argparse.Namespace) -> int:
    body = {"uses": arguments.uses, "ttl_s": _seconds(arguments.valid)}
    reply = FleetClient.from_arguments(arguments).post("/api/v1/tokens", body, TokenReply)
    if arguments.json:
        print_json(reply)
    else:
        print(reply.token)
        print(
            f"enrols {reply.uses} device{'s' if reply.uses != 1 else ''} within "
            f"{arguments.valid}; on the device: edgewright runtime enroll --token ...",
            file=sys.stderr,
        )
    return 0


def _console(arguments: argparse.Namespace) -> int:
    reply = FleetClient.from_arguments(arguments).post("/api/v1/console-links", {}, LinkReply)
    if arguments.json:
        print_json(reply)
    else:
        print(reply.url)
    return 0


def _seconds(text: str) -> float:
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isascii() or not number.isdigit() or int(number) == 0:
        raise UsageError(f"--valid {text!r}: expected a number and s, m, h or d, such as 24h")
    return float(int(number) * _UNITS[unit])
