"""`edgewright fleet groups [list|create|delete|add|remove]`."""

import argparse
import urllib.parse

from edgewright_manifests.errors import UsageError

from edgewright_fleet.commands.client import FleetClient, add_connection_arguments
from edgewright_fleet.commands.tables import print_json, print_table


def add(sub: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = sub.add_parser("groups", help="list groups, make them, put devices into them")
    parser.add_argument(
        "action",
        nargs="?",
        choices=["list", "create", "delete", "add", "remove"],
        default="list",
    )
    parser.add_argument("group", nargs="?")
    parser.add_argument("device", nargs="*", help="for create, add and remove")
    add_connection_arguments(parser)
    parser.set_defaults(fleet_act=_groups)


def _groups(arguments: argparse.Namespace) -> int:
    client = FleetClient.from_arguments(arguments)
    if arguments.action == "list":
        groups = client.get("/api/v1/groups", dict[str, list[str]])
    else:
        groups = _change(client, arguments)
    if arguments.json:
        print_json(groups)
    else:
        print_table(
            ["GROUP", "DEVICES"],
            [(name, ", ".join(members) or "none") for name, members in groups.items()],
            "no groups yet; the group `all` is every enrolled device",
        )
    return 0


def _change(client: FleetClient, arguments: argparse.Namespace) -> dict[str, list[str]]:
    if arguments.group is None:
        raise UsageError(f"groups {arguments.action}: which group?")
    if arguments.action in ("add", "remove") and not arguments.device:
        raise UsageError(f"groups {arguments.action}: which devices?")
    path = f"/api/v1/groups/{_quoted(arguments.group)}"
    groups: dict[str, list[str]] = {}
    if arguments.action == "create":
        groups = client.post("/api/v1/groups", {"name": arguments.group}, dict[str, list[str]])
    if arguments.action == "delete":
        return client.send("DELETE", path, dict[str, list[str]])
    method = "DELETE" if arguments.action == "remove" else "PUT"
    for device in arguments.device:
        groups = client.send(method, f"{path}/devices/{_quoted(device)}", dict[str, list[str]])
    return groups


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")
