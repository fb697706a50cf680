"""`edgewright fleet ...`: one module for each group of subcommands."""

import argparse

from edgewright_manifests.errors import UsageError

from edgewright_fleet.commands import audit, devices, groups, publish, rollouts, serve, tokens

HELP = "run the fleet server; publish releases, roll them out, look after devices"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands."""
    sub = parser.add_subparsers(dest="fleet_command", metavar="COMMAND")
    for module in (serve, publish, devices, groups, rollouts, tokens, audit):
        module.add(sub)


def run(arguments: argparse.Namespace) -> int:
    """Run one of them; 0 done, 1 refused or failed."""
    act = getattr(arguments, "fleet_act", None)
    if act is None:
        raise UsageError("which command? see `edgewright fleet --help`")
    code = act(arguments)
    assert isinstance(code, int)
    return code
