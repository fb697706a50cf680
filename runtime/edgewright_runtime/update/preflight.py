"""Lets a release prove itself before it may serve, in a child process that may die of it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from edgewright_runtime.errors import one_line

TIME_LIMIT_S = 300.0
"""A Raspberry Pi compiles and runs 64 samples of a large detector in about a minute."""
PROBE_LIMIT_S = 120.0
"""Importing every library, each in a child of its own, from a slow card."""
POLL_S = 0.1
NICE = 10
"""The release in use keeps its latency while the next one is tried."""
MAX_OUTPUT_BYTES = 64 * 1024


class PreflightVerdict(msgspec.Struct, frozen=True):
    """What `python -m edgewright_runtime.preflight` prints."""

    passed: bool
    reason: str
    placement: str | None = None
    """Where it ran, as the engine proves it."""


class PreflightStopped(NamedTuple):
    """The caller asked to stop before there was a verdict."""


def run_preflight(
    folder: Path,
    *,
    threads: int,
    stop: Callable[[], bool],
    time_limit_s: float = TIME_LIMIT_S,
) -> PreflightVerdict | PreflightStopped:
    """The verdict on the unpacked variant in `folder`, from this device's own engine.

    A child that dies, hangs or prints something else is a verdict too: not passed.
    """
    command = [sys.executable, "-m", "edgewright_runtime.preflight", str(folder)]
    command += ["--threads", str(threads), "--parent", str(os.getpid())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        try:
            waited = 0.0
            while True:
                try:
                    output, errors = child.communicate(timeout=POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    waited += POLL_S
                if stop():
                    return PreflightStopped()
                if waited >= time_limit_s:
                    return PreflightVerdict(
                        False, f"preflight gave no verdict within {time_limit_s:g} s"
                    )
        finally:
            child.kill()
    try:
        return msgspec.json.decode(output[:MAX_OUTPUT_BYTES], type=PreflightVerdict)
    except msgspec.DecodeError:
        last = errors.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        how = f"signal {-child.returncode}" if child.returncode < 0 else f"exit {child.returncode}"
        return PreflightVerdict(
            False, f"the engine did not survive the release ({how}): {one_line(Exception(last[0]))}"
        )


def probe_targets(*, time_limit_s: float = PROBE_LIMIT_S) -> tuple[str, ...]:
    """The targets that this machine can run, asked in a child; none when it gives no answer."""
    command = [sys.executable, "-m", "edgewright_runtime.preflight", "--targets"]
    command += ["--parent", str(os.getpid())]
    try:
        done = subprocess.run(command, capture_output=True, timeout=time_limit_s, check=True)
        found = msgspec.json.decode(done.stdout, type=dict[str, str | None])
    except (subprocess.SubprocessError, msgspec.DecodeError, OSError):
        return ()
    return tuple(target for target, reason in found.items() if reason is None)
