"""`edgewright runtime shadow`: let a release answer a copy of live requests, and compare."""

import argparse

from edgewright_runtime import second_release
from edgewright_runtime.control import Shade


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `Command`."""
    second_release.add_arguments(
        parser, share=1.0, share_help="of the requests, at most (default 1; busy ones are dropped)"
    )


def run(arguments: argparse.Namespace) -> int:
    """See `Command`."""
    second_release.order(arguments, Shade)
    if arguments.release == second_release.OFF:
        print(f"{arguments.model} has no shadow any more")
    else:
        print(f"{arguments.model} is shadowed; `edgewright runtime status` and /metrics compare")
    return 0
