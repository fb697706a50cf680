"""Nested commands whose modules are imported when they are asked for.

A serving process must not carry what its sister commands need: `serve` on a small board would
pay for the imports of `bench` and `doctor`.
"""

import argparse
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Protocol, cast


class Nested(Protocol):
    """What the module of a nested command offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare options and positionals."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; 0 done, 1 refused or failed."""


class LazyParser(argparse.ArgumentParser):
    """Declares its arguments when words are parsed, or when `load` is called."""

    module = ""
    """The command's; empty for a parser that has its arguments."""

    def parse_known_args(  # type: ignore[override]  # typeshed's overloads
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """See argparse."""
        self.load()
        return super().parse_known_args(args, namespace)

    def load(self) -> None:
        """Import the command and declare its arguments. Idempotent."""
        module, self.module = self.module, ""
        if module:
            cast(Nested, import_module(module)).add_arguments(self)


def add_commands(
    parser: argparse.ArgumentParser, dest: str, commands: Mapping[str, tuple[str, str]]
) -> None:
    """Nested commands by name: (module, what `--help` says of it)."""
    sub = parser.add_subparsers(dest=dest, metavar="COMMAND", parser_class=LazyParser)
    for name, (module, summary) in commands.items():
        sub.add_parser(name, help=summary, description=summary).module = module


def run_command(module: str, arguments: argparse.Namespace) -> int:
    """Run the command of that module."""
    return cast(Nested, import_module(module)).run(arguments)


def load_all(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of every command beneath, as a completion script wants them."""
    if isinstance(parser, LazyParser):
        parser.load()
    for action in parser._actions:  # argparse offers no other way to its parsers
        if isinstance(action, argparse._SubParsersAction):  # as above
            for nested in action.choices.values():
                load_all(nested)
