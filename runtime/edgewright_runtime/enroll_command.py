"""`edgewright runtime enroll`: join a fleet with a token that its operator made."""

import argparse
import sys
from pathlib import Path

from edgewright_manifests.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `Command`."""
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--token", help="the token, ew1....")
    given.add_argument("--token-file", type=Path, metavar="FILE", help="a file that holds it")
    parser.add_argument("--state", type=Path, metavar="DIR", default=Path("edgewright-state"))
    parser.add_argument("--name", required=True, metavar="DEVICE", help="what to call this device")
    parser.add_argument(
        "--profile",
        metavar="NAME|F.toml",
        help="the device profile (default: the shipped one that fits this machine)",
    )


def run(arguments: argparse.Namespace) -> int:
    """See `Command`."""
    from edgewright_runtime.link.enroll import enroll  # cryptography, which serving never needs
    from edgewright_runtime.model_source import this_machine

    profile = arguments.profile or this_machine().name
    enroll(_token(arguments), arguments.state, arguments.name, profile)
    print(
        f"enrolled {arguments.name} (profile {profile}) in {arguments.state}; "
        f"now run: edgewright runtime serve --state {arguments.state}",
        file=sys.stderr,
    )
    return 0


def _token(arguments: argparse.Namespace) -> str:
    if arguments.token_file is None:
        return str(arguments.token).strip()
    try:
        return str(arguments.token_file.read_text(encoding="utf-8")).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token-file {arguments.token_file}: cannot be read: {error}") from error
