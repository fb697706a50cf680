"""The process that children are forked from: it has imported what they need, and runs no model.

    coordinator ──one socket per job──> zygote ──fork──> monitor ──fork──> worker
                                                  (watches the socket)   (limits, the job)

The socket of a job is its lifeline: when the coordinator closes it, or dies, the monitor kills the
worker's process group. The worker's last message is its monitor's: how it ended.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
import tempfile
import traceback
from pathlib import Path

from edgewright_manifests.errors import EdgewrightError

import edgewright_converter.jobs  # noqa: F401  # what children need, imported once
from edgewright_converter.children.ending import (
    DONE,
    JOB,
    OUT_OF_MEMORY,
    OUTPUT,
    REFUSAL,
    REFUSED,
    RESULT,
)
from edgewright_converter.children.lifeline import die_with_parent
from edgewright_converter.children.limits import Limits
from edgewright_converter.crate import read_crate, write_crate
from edgewright_converter.errors import ConverterError, Unexpected
from edgewright_converter.jobs.sign import Sign

_MAX_REQUEST_BYTES = 16_384


def main(descriptor: int) -> None:
    """Fork a monitor for every socket that comes; return when the coordinator is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The coordinator decides, by the sockets.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # Monitors tell how workers ended.
    gc.freeze()
    with socket.socket(fileno=descriptor) as door:
        while True:
            note, descriptors, _, _ = socket.recv_fds(door, 1, 1)
            if not note:
                return
            if os.fork() == 0:
                door.close()
                with socket.socket(fileno=descriptors[0]) as line:
                    _monitor(line)
                os._exit(0)
            os.close(descriptors[0])


def _monitor(line: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request = json.loads(line.recv(_MAX_REQUEST_BYTES))
    alive, held = os.pipe()
    own = os.getpid()
    worker = os.fork()
    if worker == 0:
        os.setpgid(0, 0)
        die_with_parent(own)
        os.close(alive)
        _work(Path(request["folder"]), Limits(**request["limits"]), line.fileno())
    os.setpgid(worker, worker)
    os.close(held)
    waiting = select.poll()
    waiting.register(alive, select.POLLIN | select.POLLHUP)
    waiting.register(line, select.POLLIN | select.POLLHUP)
    waiting.poll()
    # Either it ended, and this takes along what it started; or nobody wants it any more.
    os.killpg(worker, signal.SIGKILL)
    _, status = os.waitpid(worker, 0)
    line.sendall(json.dumps({"end": os.waitstatus_to_exitcode(status)}).encode() + b"\n")


def _work(folder: Path, limits: Limits, descriptor: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    scratch = folder / "scratch"
    scratch.mkdir()
    tempfile.tempdir = str(scratch)
    output = os.open(folder / OUTPUT, os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    status = OUT_OF_MEMORY
    try:
        limits.apply()
        write_crate(folder / RESULT, read_crate(folder / JOB).run(scratch, Sign(descriptor)))
        status = DONE
    except EdgewrightError as error:
        status = REFUSED
        own = error if isinstance(error, ConverterError) else ConverterError(str(error))
        write_crate(folder / REFUSAL, own)
    except MemoryError:
        pass
    # The composition root of a child: a library may raise anything over a hostile model.
    except Exception as error:
        status = REFUSED
        traceback.print_exc()
        write_crate(folder / REFUSAL, Unexpected(error))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]))
