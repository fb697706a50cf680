"""What must touch an engine and is no business of the server's, in a process that may die of it.

`python -m edgewright_runtime.preflight FOLDER` runs a release's golden vectors and judges
them: prints {passed, reason, placement}, exit 0 when passed, 1 when not. With `--targets`
it prints what this machine can run: {target: null or the reason why not}.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import TextIO

import msgspec
import numpy as np
from edgewright_manifests.bundle import read_unpacked
from edgewright_manifests.errors import BundleError, EdgewrightError
from edgewright_manifests.golden import GoldenVectors, Verdict, judge, read_golden
from edgewright_manifests.raw_input import raw_problem
from edgewright_manifests.tensors import Array

from edgewright_runtime.engine import Session, open_session
from edgewright_runtime.engine.availability import available_targets
from edgewright_runtime.lifeline import die_with_parent
from edgewright_runtime.update.preflight import NICE, PreflightVerdict


def main() -> int:
    """Print the verdict; 0 passed, 1 not."""
    parser = argparse.ArgumentParser(prog="edgewright_runtime.preflight")
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--targets", action="store_true", help="only say what can run here")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parent", type=int, help="die when this process does")
    arguments = parser.parse_args()
    if arguments.parent is not None:
        die_with_parent(arguments.parent)
    os.nice(NICE)
    answer = _answer_stream()
    if arguments.targets or arguments.folder is None:
        answer.write(msgspec.json.encode(available_targets()).decode() + "\n")
        return 0
    try:
        verdict, placement = prove(arguments.folder, threads=arguments.threads)
        result = PreflightVerdict(verdict.passed, verdict.reason, placement)
    except EdgewrightError as error:
        result = PreflightVerdict(False, str(error))
    answer.write(msgspec.json.encode(result).decode() + "\n")
    return 0 if result.passed else 1


def _answer_stream() -> TextIO:
    """Our stdout; what native libraries print there goes to stderr from now on."""
    stream = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return stream


def prove(folder: Path, *, threads: int) -> tuple[Verdict, str]:
    """Load the unpacked variant, run its golden vectors, judge by its own tolerance.

    Gives the verdict and where it ran. Raises EdgewrightError when it does not come so far.
    """
    variant = read_unpacked(folder)
    golden = read_golden((folder / "golden.npz").read_bytes(), variant.signature)
    if problem := raw_problem(variant.preprocessing, variant.signature, golden):
        raise BundleError(problem)
    session = open_session(variant.target, folder / variant.files[0].name, threads=threads)
    try:
        outputs = run_samples(session, golden)
        return judge(golden, outputs, variant.tolerance), session.placement
    finally:
        session.close()


def run_samples(session: Session, golden: GoldenVectors) -> dict[str, Array]:
    """Every sample by itself, as `[n, ...]` arrays: batching may pick other kernels."""
    found: dict[str, list[Array]] = {name: [] for name in golden.outputs}
    for index in range(golden.samples):
        outputs = session.run(golden.sample(index))
        for name, rows in found.items():
            if name in outputs:
                rows.append(outputs[name])
    return {name: np.concatenate(rows) for name, rows in found.items() if rows}


if __name__ == "__main__":
    sys.exit(main())
