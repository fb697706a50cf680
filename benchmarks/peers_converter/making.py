"""Makes one artifact, by us or by a peer, in a process of its own under a time limit."""

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewright_manifests.bundle import open_bundle
from edgewright_manifests.variant import Target
from msgspec.structs import replace

from benchmarks.peers_converter.cells import Cell, forget
from benchmarks.peers_converter.registry import OURS, SCRIPTS, Peer

LIMIT_S = 1800.0
_EDGEWRIGHT = "from edgewright_manifests.cli import main; raise SystemExit(main())"
_REASON = re.compile(r"^(?:[A-Za-z_][\w.]*|edgewright convert): \S.*", re.MULTILINE)
"""The last line of a traceback, or of a refusal of ours."""
_MODULE = re.compile(r"^(?:\w+\.)+(?=\w+: )")
_CAUSED = "The above exception was the direct cause of the following exception:"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What everybody gets: one model, one set of samples to calibrate with, one to measure on."""

    name: str
    model: Path
    calibration: Path
    evaluation: Path


def make_ours(inputs: Inputs, target: Target, by: str) -> Cell:
    """`edgewright convert` with its defaults, for one target and without its cache."""
    folder = forget(inputs.name, target, by)
    bundle = folder / "bundle"
    words = [sys.executable, "-c", _EDGEWRIGHT, "convert", str(inputs.model), "--no-cache"]
    words += ["--target", target, "--out", str(bundle), "--evaluate", str(inputs.evaluation)]
    if by == OURS:
        words += ["--calibration", str(inputs.calibration)]
    else:
        words += ["--precision", "float"]
    seconds, problem = _run(words, folder)
    cell = Cell(model=inputs.name, target=target, by=by, seconds=seconds, problem=problem)
    if problem:
        return cell
    entry = open_bundle(bundle).entry(target)
    entry.unpack(folder / "files")
    variant = entry.variant
    first = variant.files[0].name
    # A package is a folder: the name of its first file's top.
    file = f"files/{first.partition('/')[0]}" if target == "coreml" else f"files/{first}"
    size_bytes = sum(part.size_bytes for part in variant.files)
    return replace(cell, file=file, size_bytes=size_bytes, recipe=variant.recipe)


def make_peers(inputs: Inputs, peer: Peer, plain: Cell) -> Cell:
    """A peer's artifact of the same model with the same samples; `plain` is our float file."""
    folder = forget(inputs.name, peer.target, peer.name)
    cell = Cell(model=inputs.name, target=peer.target, by=peer.name, file=peer.made)
    try:
        python = peer.interpreter()
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        return replace(cell, problem=f"its environment cannot be made: {error}")
    files = [inputs.model, inputs.calibration, plain.folder / plain.file, folder]
    words = [python, str(SCRIPTS / peer.script), *(str(path.resolve()) for path in files)]
    seconds, problem = _run(words, folder)
    made = folder / peer.made
    if not problem and not made.exists():
        problem = "it ends well and leaves no file"
    return replace(cell, seconds=seconds, size_bytes=_size(folder), problem=problem)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _run(words: Sequence[str], folder: Path) -> tuple[float, str]:
    """Wall seconds, and in one line why it failed."""
    started = time.perf_counter()
    log = folder.with_suffix(".log")
    with log.open("wb") as sink:
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, timeout=LIMIT_S,
                check=False,
            )  # fmt: skip  # what runs, and how
        except subprocess.TimeoutExpired:
            return LIMIT_S, f"not done within {LIMIT_S:.0f} s"
    seconds = time.perf_counter() - started
    if done.returncode == 0:
        return seconds, ""
    return seconds, _reason(log.read_text(errors="replace"), done.returncode)


def _reason(told: str, status: int) -> str:
    if status < 0:
        return f"its process ends by signal {-status}"
    # Of exceptions that caused each other the first says most.
    cause = told.partition(_CAUSED)[0]
    found = [match.group().strip() for match in _REASON.finditer(cause)]
    last = next((line.strip() for line in reversed(told.splitlines()) if line.strip()), "")
    reason = " ".join((found[-1] if found else last or f"exit status {status}").split())
    return _MODULE.sub("", reason)
