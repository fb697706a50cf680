"""A server with a local door, for the examples that ask it."""

from pathlib import Path

from edgewright_runtime.client import Client
from edgewright_runtime.errors import Overloaded, ServerGone

from examples.demo.programs import Programs


def serve_locally(programs: Programs, model: str, *options: str) -> Path:
    """Serve MODEL.bundle of the run folder; the path of the local door, once the model is there.

    Raises CommandFailed when it does not come up.
    """
    socket = programs.folder / "infer.sock"
    programs.start(
        "server", "runtime", "serve", "--model", f"{model}.bundle", "--http", "127.0.0.1:0",
        "--socket", socket.name, *options,
    )  # fmt: skip  # reads as the command line that it is

    def answers() -> bool:
        try:
            with Client(socket) as client:
                client.model(model)
        except (ServerGone, Overloaded):  # not there yet, or loading
            return False
        return True

    programs.wait_for("the local door", answers)
    return socket
