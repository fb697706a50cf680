"""Simplifies a model, and raises its opset, in a child process that may crash.

Both are C++ over untrusted graphs. Whoever calls compares the results numerically; nothing
here is believed.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

LIMIT_S = 300.0
"""A 20 MB detector takes 16 s; what takes longer than this is stuck."""

QUANTIZABLE_OPSET = 17
"""Per-channel QuantizeLinear needs 13; below 17 ONNX Runtime's quantizer wrote invalid graphs
(INVALID_GRAPH on three PaddleOCR models of opset 11 and 12)."""

_Operation = Literal["simplify", "raise-opset"]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The rewritten model, or the reason why there is none."""

    data: bytes | None
    problem: str = ""


def simplify(data: bytes) -> Rewrite:
    """Fold constants and fuse what onnxsim knows to fuse; names of inputs and outputs stay."""
    return _run("simplify", data)


def raise_opset(data: bytes, opset: int) -> Rewrite:
    """The model at QUANTIZABLE_OPSET; itself when it is there already."""
    return Rewrite(data) if opset >= QUANTIZABLE_OPSET else _run("raise-opset", data)


def _run(operation: _Operation, data: bytes) -> Rewrite:
    with TemporaryDirectory(prefix="edgewright-") as name:
        before, after = Path(name) / "before.onnx", Path(name) / "after.onnx"
        before.write_bytes(data)
        # -P: a file onnx.py in the current folder must not come before the library.
        command = [sys.executable, "-P", "-m", "edgewright_converter.frontend.rewrite_child"]
        command += [operation, str(before), str(after)]
        try:
            child = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LIMIT_S,
                check=False,
                text=True,
                errors="replace",
            )
        except subprocess.TimeoutExpired:
            return Rewrite(None, f"it took longer than {LIMIT_S:.0f} s")
        if child.returncode < 0:
            return Rewrite(None, f"it crashed with signal {-child.returncode}")
        if child.returncode:
            lines = [line.strip() for line in child.stderr.splitlines() if line.strip()]
            return Rewrite(None, lines[-1] if lines else f"it exited with {child.returncode}")
        return Rewrite(after.read_bytes())
