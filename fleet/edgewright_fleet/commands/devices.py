"""`edgewright fleet devices [list|show|revoke]`."""

import argparse
import urllib.parse

from edgewright_manifests.errors import UsageError

from edgewright_fleet.api.views import DeviceView
from edgewright_fleet.commands.client import FleetClient, add_connection_arguments
from edgewright_fleet.commands.tables import ago, print_json, print_table


def add(sub: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = sub.add_parser("devices", help="list devices, show one, revoke one")
    parser.add_argument("action", nargs="?", choices=["list", "show", "revoke"], default="list")
    parser.add_argument("device", nargs="?", help="for show and revoke")
    add_connection_arguments(parser)
    parser.set_defaults(fleet_act=_devices)


def _devices(arguments: argparse.Namespace) -> int:
    client = FleetClient.from_arguments(arguments)
    if arguments.action == "list":
        devices = client.get("/api/v1/devices", list[DeviceView])
        if arguments.json:
            print_json(devices)
        else:
            print_table(
                ["DEVICE", "ONLINE", "PROFILE", "SERVES", "STATE", "SEEN", "LAST REASON"],
                [
                    (
                        device.id,
                        "revoked" if device.revoked else "yes" if device.online else "no",
                        device.profile,
                        serves(device),
                        device.state,
                        ago(device.last_seen),
                        device.reason,
                    )
                    for device in devices
                ],
                "no devices yet; `edgewright fleet token create` makes a token to enrol one",
            )
        return 0
    if arguments.device is None:
        raise UsageError(f"devices {arguments.action}: which device?")
    path = f"/api/v1/devices/{urllib.parse.quote(arguments.device, safe='')}"
    if arguments.action == "revoke":
        device = client.send("POST", f"{path}/revoke", DeviceView)
    else:
        device = client.get(path, DeviceView)
    if arguments.json:
        print_json(device)
    elif arguments.action == "revoke":
        print(f"device {device.id} is revoked: new connections are refused, live ones are mute")
    else:
        _show(device)
    return 0


def serves(device: DeviceView) -> str | None:
    """The release that a device serves, as one word."""
    active = device.active
    return f"{active.model}@{active.version} {active.variant}" if active else None


def _show(device: DeviceView) -> None:
    assigned = device.assigned
    figures = device.figures
    print_table(
        [device.id, ""],
        [
            ("profile", device.profile),
            ("hardware", device.hardware_id),
            ("runs", ", ".join(device.targets) or None),
            ("online", "revoked" if device.revoked else "yes" if device.online else "no"),
            ("seen", ago(device.last_seen)),
            ("enrolled", device.enrolled.isoformat(timespec="seconds")),
            ("serves", serves(device)),
            (
                "assigned",
                f"{assigned.model}@{assigned.version} {assigned.variant} (no. {assigned.number})"
                if assigned and assigned.version
                else None,
            ),
            ("state", device.state),
            ("last reason", device.reason),
            (
                "figures",
                f"{figures.requests} requests, {figures.errors} errors" if figures else None,
            ),
            ("runtime", device.agent),
        ],
        "",
    )
