"""Runs a door's child: bounded in time, and killed when nobody waits for it any more.

Its memory and the size of its files are bounded as those of the process that starts it.

What it wrote is read and checked as any ONNX file that nobody vouches for.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from edgewright_manifests.digest import Digest, digest_of, digest_of_file
from edgewright_manifests.documents import encode, read_json
from edgewright_manifests.errors import DocumentError

from edgewright_converter.errors import ConverterError
from edgewright_converter.frontend.doors.choice import check_extra, door_of
from edgewright_converter.frontend.doors.examples import COUNT
from edgewright_converter.frontend.doors.task import DoorAnswer, DoorTask
from edgewright_converter.frontend.onnx_file import OnnxSource, read_onnx
from edgewright_converter.sample_file import load_arrays

LIMIT_S = 900.0
"""EfficientNet-Lite0 takes half a minute on a busy machine; what takes this long is stuck."""
_BEAT_S = 2.0
_NO_PICKLES = ("env", "TORCH_FORCE_WEIGHTS_ONLY_LOAD=1")
"""torch.export.load unpickles parts of the archive with weights_only=False otherwise, which runs
what the file says (torch 2.13)."""


def open_model(
    model: Path,
    samples: Path | None,
    sizes: Mapping[str, tuple[int, ...]],
    folder: Path,
    beat: Callable[[], None],
) -> tuple[OnnxSource, tuple[str, ...]]:
    """The model as ONNX that answers as the original does, and notes for the person.

    An ONNX file is read as it is; all others go through their framework, in a child. `samples`
    is the .npz (or a folder of them) whose first rows are the examples; without it `sizes` says
    how large each input is, batch first. `folder` is for scratch; `beat()` is called every few
    seconds. Raises ModelFileError for a file of the wrong kind, and ConverterError when an extra
    is missing, or the child refused, crashed or took too long.
    """
    door = door_of(model)
    if door == "onnx":
        return read_onnx(model), ()
    check_extra(model, door)
    file = _file_of(samples)
    task = DoorTask(
        door=door,
        model=str(model),
        samples=str(file or ""),
        examples=_write_examples(file, folder / "examples.npz"),
        sizes=dict(sizes),
        onnx=str(folder / "door.onnx"),
        scratch=str(folder),
    )
    answer = _run(task, folder, beat)
    if answer.refusal:
        raise ConverterError(answer.refusal)
    source = read_onnx(Path(task.onnx))
    size_bytes, digest = _identity(model, source)
    return replace(source, file_name=model.name, digest=digest, size_bytes=size_bytes), answer.notes


def _run(task: DoorTask, folder: Path, beat: Callable[[], None]) -> DoorAnswer:
    asked, answered, said = folder / "task.json", folder / "answer.json", folder / "door.log"
    asked.write_bytes(encode(task))
    # -P: a file torch.py in the person's folder must not come before the framework's.
    command = [sys.executable, "-P", "-m", "edgewright_converter.frontend.doors.child"]
    if task.door == "pt2":
        command = [*_NO_PICKLES, *command]
    with said.open("wb") as log:
        child = subprocess.Popen(
            [*command, str(asked), str(answered)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            _wait(child, task, beat)
        finally:
            child.kill()
            child.wait()
    try:
        return read_json(answered, DoorAnswer)
    except DocumentError as error:
        raise ConverterError(f"{task.model}: {_death(child.returncode, said)}") from error


def _wait(child: "subprocess.Popen[bytes]", task: DoorTask, beat: Callable[[], None]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        with suppress(subprocess.TimeoutExpired):
            child.wait(_BEAT_S)
            return
        beat()
    raise ConverterError(
        f"{task.model}: did not become ONNX within {LIMIT_S:.0f} s; export it yourself"
    )


def _death(status: int, said: Path) -> str:
    if status < 0:
        return f"its framework crashed with signal {-status}; export it to ONNX yourself"
    lines = [line.strip() for line in said.read_text(errors="replace").splitlines() if line.strip()]
    return f"its framework ended with exit status {status}: {lines[-1] if lines else 'no word'}"


def _file_of(samples: Path | None) -> Path | None:
    if samples is None or not samples.is_dir():
        return samples
    return next(iter(sorted(samples.glob("*.npz"))), samples)


def _write_examples(file: Path | None, path: Path) -> str:
    if file is None:
        return ""
    first = {
        name: value[:COUNT] if value.ndim else value for name, value in load_arrays(file).items()
    }
    np.savez(path, **first)  # type: ignore[arg-type]  # numpy's stub takes its options by name
    return str(path)


def _identity(model: Path, source: OnnxSource) -> tuple[int, Digest]:
    """Size and digest of what the person gave; of the ONNX file where that is Python code."""
    if model.is_file():
        return model.stat().st_size, digest_of_file(model)
    if not model.is_dir():
        return source.size_bytes, source.digest
    files = sorted(file for file in model.rglob("*") if file.is_file())
    lines = [f"{file.relative_to(model).as_posix()} {digest_of_file(file)}" for file in files]
    return sum(file.stat().st_size for file in files), digest_of("\n".join(lines).encode())
