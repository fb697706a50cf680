"""`python -m edgewright_runtime.engine.isolation.child FD ORDER`: runs one model.

It ends when the other end of its socket is closed, or of the pipe that is its stdin: a model
that runs for ever does not outlive its server.
"""

import contextlib
import os
import select
import socket
import sys
import threading
from pathlib import Path

import msgspec

from edgewright_runtime.engine.isolation import wire
from edgewright_runtime.engine.isolation.wire import (
    Answered,
    Call,
    Failed,
    Order,
    Ready,
    Room,
    View,
)
from edgewright_runtime.engine.providers import Wanted
from edgewright_runtime.engine.raw_inference import RawInference, raw_inference
from edgewright_runtime.engine.session import open_session
from edgewright_runtime.errors import BackendUnavailable, ModelRejected, RuntimeFault

_OOM_SCORE = 500
"""When memory runs out, the kernel takes this process before the server."""


def main() -> int:
    """Load, then answer until the parent goes; 1 when the model does not load."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    order = msgspec.json.decode(sys.argv[2], type=Order)
    wanted = Wanted(order.providers, Path(order.cache) if order.cache else None)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))
    try:
        session = open_session(order.target, Path(order.path), threads=order.threads, wanted=wanted)
    except BackendUnavailable as error:
        failed = Failed("BackendUnavailable", error.reason, error.remedy)
        wire.send(connection, wire.pack(failed))
        return 1
    except ModelRejected as error:
        wire.send(connection, wire.pack(Failed("ModelRejected", error.problem)))
        return 1
    wire.send(connection, wire.pack(Ready(session.signature, session.placement)))
    _answer(connection, raw_inference(session))
    return 0


def _answer(connection: socket.socket, infer: RawInference) -> None:
    room, view = Room(), View()
    while True:
        message = wire.receive(connection, view)
        if not isinstance(message, Call):
            return
        try:
            outputs = infer(view.read(message.inputs))
            packet = wire.pack(Answered(room.lay(outputs)))
        except (RuntimeFault, wire.PacketTooLarge) as error:
            wire.send(connection, wire.pack(Failed(type(error).__name__, str(error))))
            continue
        wire.send(connection, packet, room.new_descriptor())


def _end_with_parent() -> None:
    poll = select.poll()
    poll.register(0, 0)  # only its end
    poll.poll()
    os._exit(0)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, OSError):
        sys.exit(main())
