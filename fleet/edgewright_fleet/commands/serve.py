"""`edgewright fleet serve`."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgewright_fleet.commands.tables import print_json
from edgewright_fleet.config import load_config

if TYPE_CHECKING:
    from edgewright_fleet.service import Started


def add(sub: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = sub.add_parser(
        "serve",
        help="run the fleet server",
        description="Run the fleet server. With no configuration: SQLite, an embedded MQTT broker, "
        "its own certificates, and keys made at the first start.",
    )
    parser.add_argument("--config", metavar="F", help="a TOML file; see docs/fleet.md")
    parser.add_argument(
        "--data", metavar="DIR", help="where everything is kept (default: ./edgewright-fleet)"
    )
    parser.add_argument(
        "--keys", metavar="DIR", help="the online keys (default: DATA/keys, made when missing)"
    )
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="HOST",
        help="name or address that devices and operators use; the first goes into tokens",
    )
    parser.add_argument("--json", action="store_true", help="print the addresses as JSON")
    parser.add_argument("--verbose", action="store_true", help="log state changes, too")
    parser.set_defaults(fleet_act=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    # Imported here: the other commands start faster without the server's libraries.
    from edgewright_fleet.service import serve

    logging.basicConfig(
        level=logging.INFO if arguments.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    path = Path(arguments.config) if arguments.config else None
    config = load_config(path, data=arguments.data, keys=arguments.keys)
    listen = msgspec.structs.replace(
        config.listen,
        host=arguments.host or config.listen.host,
        names=(*arguments.name, *config.listen.names),
    )
    config = msgspec.structs.replace(config, listen=listen)
    asyncio.run(serve(config, _announce_as_json if arguments.json else _announce))
    return 0


def _announce_as_json(started: "Started") -> None:
    print_json({**msgspec.to_builtins(started.server), "console_url": started.console_url})
    sys.stdout.flush()


def _announce(started: "Started") -> None:
    server = started.server
    print(f"The fleet server is up; its data is in {started.data}")
    print(f"  console  {started.console_url}")
    print("           (logs you in once, within 15 minutes; later: `edgewright fleet console`)")
    print(f"  devices  {server.device_url} and MQTT {server.mqtt_host}:{server.mqtt_port}")
    print("  enrol    edgewright fleet token create")
    if started.keys_made_in is not None:
        print(
            f"New keys were made in {started.keys_made_in}.\n"
            f"Move {started.keys_made_in / 'offline'} away from this machine and keep it safe:\n"
            "who has it can publish releases. Give it to `edgewright fleet publish --keys`."
        )
    sys.stdout.flush()
