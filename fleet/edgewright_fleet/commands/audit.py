"""`edgewright fleet audit verify|export|prove`: works on the log's folder, server or not."""

import argparse

from edgewright_fleet.audit import command


def add(sub: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = sub.add_parser("audit", help=command.HELP, description=command.HELP)
    command.add_arguments(parser)
    parser.set_defaults(fleet_act=command.run)
