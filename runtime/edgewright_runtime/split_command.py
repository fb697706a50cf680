"""`edgewright runtime split`: let a second release answer a share of the keys."""

import argparse

from edgewright_runtime import second_release
from edgewright_runtime.control import Divide


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `Command`."""
    second_release.add_arguments(parser, share=0.5, share_help="of the keys (default 0.5)")


def run(arguments: argparse.Namespace) -> int:
    """See `Command`."""
    second_release.order(arguments, Divide)
    if arguments.release == second_release.OFF:
        print(f"{arguments.model} is answered by one release again")
    else:
        print(
            f"{arguments.share:.0%} of the keys (header x-edgewright-key, parameter "
            f"edgewright_key) of {arguments.model} go to {arguments.release}"
        )
    return 0
