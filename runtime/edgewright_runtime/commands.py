"""`edgewright runtime`: everything that is done on the device."""

import argparse
from collections.abc import Mapping

from edgewright_manifests.cli import Command
from edgewright_manifests.errors import UsageError

from edgewright_runtime import (
    bench_command,
    doctor_command,
    enroll_command,
    models_command,
    serve_command,
    status_command,
)

HELP = "serve models on this device, enrol it in a fleet, look after it"

_COMMANDS: Mapping[str, Command] = {
    "serve": serve_command,
    "enroll": enroll_command,
    "status": status_command,
    "models": models_command,
    "doctor": doctor_command,
    "bench": bench_command,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `Command`."""
    sub = parser.add_subparsers(dest="runtime_command", metavar="COMMAND")
    for name, command in _COMMANDS.items():
        command.add_arguments(sub.add_parser(name, help=command.HELP, description=command.HELP))


def run(arguments: argparse.Namespace) -> int:
    """See `Command`."""
    if arguments.runtime_command is None:
        raise UsageError(f"say what to do: {', '.join(_COMMANDS)}")
    return _COMMANDS[arguments.runtime_command].run(arguments)
