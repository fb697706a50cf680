"""Our converter beside the other libraries, on real models: quality, latency, size, time.

    python -m benchmarks.bench_converter [--model magika ...] [--target onnx ...]
        [--peer 'Olive default' ...] [--fresh] [--write]

What was found is kept in .cache/bench-converter, a file per (model, target, by): an interrupted
run goes on where it was, and `--fresh` makes what is asked for again. Every artifact is made in a
process of its own; the environments of the peers are installed when they are first needed.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version

import numpy as np
from edgewright_manifests.variant import Target
from edgewright_runtime.engine.telemetry import forbid_telemetry

from benchmarks.peers_converter.cells import CACHE, Cell, kept_cell
from benchmarks.peers_converter.making import Inputs, make_ours, make_peers
from benchmarks.peers_converter.measuring import Judge, time_cells
from benchmarks.peers_converter.registry import FLOAT, OURS, PEERS, TARGETS
from benchmarks.peers_converter.table import DOC, section, write
from benchmarks.zoo import ZOO, PackageUnavailable

SAMPLES = {
    "efficientnet-lite0": (128, 1000),
    "magika": (128, 700),
    "basic-pitch": (16, 24),
    "pp-ocr-rec": (32, 100),
    "resnet8": (256, 10_000 - 256),
}
"""Per model: so many to calibrate with, and so many others to measure on."""
EVALUATED = 24
"""So many for Core ML: its evaluator takes up to a second each."""
QUICK = ("magika", "silero-vad", "openwakeword-embedding", "pp-ocr-cls", "resnet8")
_TOOLS = ("onnx", "onnxruntime", "openvino", "nncf", "ai-edge-litert", "ai-edge-quantizer")


def main() -> None:
    """Compare, print, and write where asked to."""
    options = _options()
    forbid_telemetry()
    for name in options.models:
        try:
            _compare(name, options.targets, options.peers, fresh=options.fresh)
        except PackageUnavailable as error:
            print(f"{name}: not here: {error}", file=sys.stderr)
    everything = options.write
    text = section(
        list(_kept(list(ZOO) if everything else options.models,
                   TARGETS if everything else options.targets)),
        _versions(),
    )  # fmt: skip  # the cells, the versions
    print(text)
    if options.write:
        write(text)


def _options() -> argparse.Namespace:
    names = [OURS, *PEERS]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--model", dest="models", nargs="+", choices=[*ZOO, "quick"])
    parser.add_argument(
        "--target", dest="targets", nargs="+", choices=TARGETS, default=list(TARGETS)
    )
    parser.add_argument("--peer", dest="peers", nargs="+", choices=names, default=names)
    parser.add_argument("--fresh", action="store_true", help="not what an earlier run found")
    parser.add_argument("--write", action="store_true", help=f"all that is kept, into {DOC}")
    options = parser.parse_args()
    options.models = options.models or list(ZOO)
    if "quick" in options.models:
        options.models = [*QUICK]
    return options


def _compare(name: str, targets: Sequence[Target], peers: Sequence[str], *, fresh: bool) -> None:
    """Find every cell of one model that is asked for and not kept."""
    for target in targets:
        wanted = [FLOAT, *(by for by in peers if by == OURS or PEERS[by].target == target)]
        again = {by for by in wanted if fresh and (by != FLOAT or OURS in peers)}
        known = {by: None if by in again else kept_cell(name, target, by) for by in wanted}
        if all(known.values()) and _is_timed(name, target):
            continue
        inputs = _inputs(name, target)
        judge = Judge.of(inputs)
        for by in wanted:
            if known[by] is not None:
                continue
            print(f"{name}, {target}: {by}", file=sys.stderr, flush=True)
            cell = _made(inputs, target, by)
            (judge.judge(cell, target) if not cell.problem else cell).keep()
        time_cells(judge, list(_kept([name], [target])), target)


def _made(inputs: Inputs, target: Target, by: str) -> Cell:
    if by in (OURS, FLOAT):
        return make_ours(inputs, target, by)
    plain = kept_cell(inputs.name, target, FLOAT)
    assert plain is not None  # it is the first of what is wanted
    return make_peers(inputs, PEERS[by], plain)


def _is_timed(name: str, target: Target) -> bool:
    cells = list(_kept([name], [target]))
    return target == "coreml" or all(
        cell.timed is not None for cell in cells if cell.judged is not None
    )


def _kept(models: Sequence[str], targets: Sequence[Target]) -> Iterator[Cell]:
    for model in models:
        for target in targets:
            for by in (FLOAT, OURS, *PEERS):
                cell = kept_cell(model, target, by)
                if cell is not None:
                    yield cell


def _inputs(name: str, target: Target) -> Inputs:
    """The model and its samples as files; those of an earlier run are the same."""
    calibrate, measure = SAMPLES.get(name, (64, 128))
    folder = CACHE / name / f"samples-{calibrate}-{measure}"
    model = folder / f"{name}.onnx"
    done, few = folder / "done", folder / "few.npz"
    if not done.is_file():
        ZOO[name].write(folder, calibration=calibrate, evaluation=measure)
        arrays = np.load(folder / "evaluation.npz")
        np.savez(few, **{key: value[:EVALUATED] for key, value in arrays.items()})
        done.touch()
    evaluation = few if target == "coreml" else folder / "evaluation.npz"
    return Inputs(name, model, folder / "calibration.npz", evaluation)


def _versions() -> str:
    pinned = {package for peer in PEERS.values() if peer.needs for package in peer.needs.packages}
    own = [f"{name} {version(name)}" for name in _TOOLS]
    theirs = sorted(package.replace("==", " ") for package in pinned if "==" in package)
    return ", ".join([*own, *(name for name in theirs if name not in own)])


if __name__ == "__main__":
    main()
