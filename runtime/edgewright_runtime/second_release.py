"""What `edgewright runtime shadow` and `split` share: a second release of a served model."""

import argparse
from collections.abc import Callable
from pathlib import Path

from edgewright_manifests.errors import UsageError

from edgewright_runtime.control import Divide, Refused, Shade
from edgewright_runtime.control_client import ControlClient
from edgewright_runtime.errors import RuntimeFault
from edgewright_runtime.model_source import open_source

OFF = "off"
Make = Callable[[str, str | None, float], Shade | Divide]
"""From model, folder or file, and share."""


def add_arguments(parser: argparse.ArgumentParser, *, share: float, share_help: str) -> None:
    """Model, release, share, and where the server listens."""
    parser.add_argument("model", help="name of a model that is served")
    parser.add_argument(
        "release", help="a bundle, an unpacked variant or a model file; off takes it away again"
    )
    parser.add_argument("--share", type=_share, default=share, metavar="0..1", help=share_help)
    parser.add_argument("--state", type=Path, metavar="DIR", default=Path("edgewright-state"))
    parser.add_argument(
        "--control", type=Path, metavar="SOCKET", help="of a server without a state folder"
    )


def order(arguments: argparse.Namespace, make: Make) -> None:
    """Ask the server for it. Raises RuntimeFault with its reason when it refuses."""
    control = arguments.control or arguments.state / "run" / "control.sock"
    client = ControlClient(control)
    if arguments.release == OFF:
        _ask(client, make(arguments.model, None, arguments.share))
        return
    path = Path(arguments.release)
    if not path.exists():
        raise UsageError(f"{path}: there is no such bundle, folder or file; or say {OFF}")
    with open_source(path) as source:
        file = source.candidates[0].artifact.path
        # The server has the model in memory when it answers; what was unpacked may go then.
        is_unpacked = (file.parent / "variant.json").is_file()
        where = file.parent if is_unpacked else file
        _ask(client, make(arguments.model, str(where.resolve()), arguments.share))


def _ask(client: ControlClient, request: Shade | Divide) -> None:
    reply = client.ask_blocking(request)
    if isinstance(reply, Refused):
        raise RuntimeFault(reply.reason)


def _share(word: str) -> float:
    try:
        share = float(word)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{word!r} is no share (more than 0, at most 1)")
    return share
