"""The `edgewright` command: finds its subcommands by entry point and prints errors as one line.

A part of the product adds a subcommand by an entry point in the group
`edgewright.commands` that names a module with `HELP` (one line),
`add_arguments(parser)` and `run(arguments) -> int`. Only the wanted one is imported,
so that a device has, and loads, only the commands of the parts it installed.
"""

import argparse
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Protocol, cast

from edgewright_manifests import __version__
from edgewright_manifests.errors import EdgewrightError, UsageError
from edgewright_manifests.installed_commands import installed_commands
from edgewright_manifests.lazy_parser import load_all


class Command(Protocol):
    """What a subcommand's module offers."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare options, positionals and nested subcommands."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; 0 done, 1 refused or failed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    commands = installed_commands()
    parser = _parser(commands, words)
    parsed = parser.parse_args(words)
    if parsed.command is None:
        parser.print_help()
        return 0
    try:
        if parsed.command == "completion":
            return _print_completion(parser, parsed.shell)
        return _load(commands[parsed.command]).run(parsed)
    except UsageError as error:
        print(f"edgewright {parsed.command}: {error}", file=sys.stderr)
        return 2
    except EdgewrightError as error:
        print(f"edgewright {parsed.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"edgewright {parsed.command}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader went away (`| head`); there is nobody left to tell.
        sys.stderr.close()
        return 1


def _parser(commands: Mapping[str, str], words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgewright",
        description="Get a trained model onto a fleet of edge devices and keep it right there.",
    )
    parser.add_argument("--version", action="version", version=f"edgewright {__version__}")
    sub = parser.add_subparsers(dest="command", metavar="COMMAND")
    wanted = next((word for word in words if word in commands), None)
    for name, module in sorted(commands.items()):
        if wanted is None or name == wanted:
            command = _load(module)
            command.add_arguments(sub.add_parser(name, help=command.HELP, description=command.HELP))
        else:
            sub.add_parser(name)
    completion = sub.add_parser("completion", help="print a completion script for your shell")
    completion.add_argument("shell", choices=["bash", "zsh", "tcsh"])
    return parser


def _load(module: str) -> Command:
    return cast(Command, import_module(module))


def _print_completion(parser: argparse.ArgumentParser, shell: str) -> int:
    try:
        import shtab
    except ImportError as error:
        raise UsageError(
            "completion needs the package shtab; pip install 'edgewright-manifests[completion]'"
        ) from error
    load_all(parser)
    print(shtab.complete(parser, shell))
    return 0
