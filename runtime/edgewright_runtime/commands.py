"""`edgewright runtime`: everything that is done on the device."""

import argparse
from collections.abc import Mapping

from edgewright_manifests.errors import UsageError
from edgewright_manifests.lazy_parser import add_commands, run_command

HELP = "serve models on this device, enrol it in a fleet, look after it"

COMMANDS: Mapping[str, tuple[str, str]] = {
    "serve": (
        "edgewright_runtime.serve_command",
        "serve models over HTTP and gRPC, alone or as a device of a fleet",
    ),
    "enroll": (
        "edgewright_runtime.enroll_command",
        "join a fleet with a token from `edgewright fleet token create`",
    ),
    "status": (
        "edgewright_runtime.status_command",
        "show what a device of a fleet serves, and where its updates stand",
    ),
    "models": (
        "edgewright_runtime.models_command",
        "list what a running server serves",
    ),
    "doctor": (
        "edgewright_runtime.doctor_command",
        "say what works on this machine, proven by trying, and what to do about the rest",
    ),
    "shadow": (
        "edgewright_runtime.shadow_command",
        "compare a release with the one that serves, on live requests, without serving it",
    ),
    "split": (
        "edgewright_runtime.split_command",
        "let a second release answer a share of the requests, chosen by their key",
    ),
    "bench": (
        "edgewright_runtime.bench_command",
        "measure the latency of a model's variants on this machine",
    ),
}
"""Module and summary of each; a module is imported only when its command is wanted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `Command`."""
    add_commands(parser, "runtime_command", COMMANDS)


def run(arguments: argparse.Namespace) -> int:
    """See `Command`."""
    if arguments.runtime_command is None:
        raise UsageError(f"say what to do: {', '.join(COMMANDS)}")
    return run_command(COMMANDS[arguments.runtime_command][0], arguments)
