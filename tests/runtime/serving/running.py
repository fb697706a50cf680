"""A real serving process with its two doors, for tests."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from edgewright_manifests.bundle import BundleWriter, open_bundle
from edgewright_manifests.golden import GoldenVectors, write_golden
from edgewright_manifests.variant import Quality, Target, Tolerance
from edgewright_runtime.control import Loaded, Status
from edgewright_runtime.control_client import ControlClient
from edgewright_runtime.engine import open_session
from edgewright_runtime.engine.tensors import example_inputs
from edgewright_runtime.errors import ControlFault

DEADLINE_S = 60.0


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    process: subprocess.Popen[str]
    control: ControlClient
    http: str

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.http.split(":")
        return host, int(port)

    def connect(self) -> socket.socket:
        connection = socket.create_connection(self.address, timeout=20)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Send bytes over a new connection, half-close, and read one reply."""
        with self.connect() as connection:
            connection.sendall(request)
            return read_reply(connection)


@contextmanager
def serving(
    folder: Path, unpacked: Sequence[Mapping[str, str]] = (), **config: object
) -> Iterator[Running]:
    """Start `python -m edgewright_runtime.server`, wait until it answers, end it by SIGTERM."""
    path = folder / "control.sock"
    document = {"http": "127.0.0.1:0", "control": str(path), "unpacked": list(unpacked), **config}
    command = [sys.executable, "-m", "edgewright_runtime.server"]
    command += ["--config", json.dumps(document), "--parent", str(os.getpid())]
    with _running(command, path) as running:
        yield running


@contextmanager
def serving_files(folder: Path, models: Mapping[str, Path], *options: str) -> Iterator[Running]:
    """The same for bare files, by `edgewright runtime serve`; all are version 1."""
    path = folder / "control.sock"
    command = [sys.executable, "-c", "from edgewright_manifests.cli import main; main()"]
    command += ["runtime", "serve", "--http", "127.0.0.1:0", "--control", str(path), *options]
    for name, file in models.items():
        command += ["--model", f"{name}={file}"]
    with _running(command, path) as running:
        yield running


@contextmanager
def _running(command: Sequence[str], path: Path) -> Iterator[Running]:
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            control = ControlClient(path)
            yield Running(process, control, wait_for(control, process))
            process.terminate()
            _, errors = process.communicate(timeout=DEADLINE_S)
            # 0 says too that it did not end before it was told to.
            assert process.returncode == 0, errors
            assert "Traceback" not in errors, errors
        finally:
            process.kill()


def wait_for(control: ControlClient, process: subprocess.Popen[str]) -> str:
    """The HTTP address of a server that has just been started."""
    ends = time.monotonic() + DEADLINE_S
    while True:
        try:
            reply = control.ask_blocking(Status())
        except ControlFault:
            assert process.poll() is None, "the server ended at its start"
            assert time.monotonic() < ends, "the server does not answer"
            time.sleep(0.02)
        else:
            assert isinstance(reply, Loaded)
            if reply.state == "serving":
                assert reply.http is not None
                return reply.http
            assert time.monotonic() < ends, "the server does not load its models"
            time.sleep(0.02)


def unpacked_variant(
    folder: Path, target: Target, files: Sequence[Path], *, model: str, version: str
) -> Path:
    """`folder` as an unpacked variant of these files, by way of a real bundle."""
    session = open_session(target, files[0])
    inputs = example_inputs(session.signature)
    outputs = {name: np.nan_to_num(array) for name, array in session.run(inputs).items()}
    golden = write_golden(GoldenVectors(inputs=inputs, outputs=outputs))
    bundle = folder.with_name(folder.name + ".bundle")
    with BundleWriter(model, version) as writer:
        writer.add_variant(
            target=target,
            precision="float",
            recipe="none",
            signature=session.signature,
            files={file.name: file.read_bytes() for file in files},
            quality=Quality(samples=1),
            tolerance=Tolerance(min_snr_db=20.0),
            golden=golden,
        )
        writer.commit(bundle)
    session.close()
    open_bundle(bundle).entry(target).unpack(folder)
    return folder


def read_reply(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of one reply (interim replies skipped); (0, b"") when it just closes."""
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            piece = _receive(connection)
            if not piece:
                return 0, data
            data += piece
        head, _, data = data.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if status != 100:
            break
    lengths = [
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    ]
    while len(data) < lengths[0]:
        piece = _receive(connection)
        assert piece, "the reply is cut off"
        data += piece
    return status, data[: lengths[0]]


def post(path: str, body: bytes, *headers: str) -> bytes:
    """A POST request as bytes."""
    lines = [f"POST {path} HTTP/1.1", "Host: test", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def get(path: str, *, method: str = "GET") -> bytes:
    """A request without a body as bytes."""
    return f"{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode()


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1 << 16)
    except ConnectionError:
        return b""
