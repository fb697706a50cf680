"""Our converter beside the libraries' defaults, on real models: quality, latency, size, time.

    python -m benchmarks.bench_converter [--model magika ...] [--target onnx ...] [--ours] [--write]

Each default gets the float model and the calibration samples that ours gets; all are measured on
the same held-out samples by the engine that serves the target, interleaved, on one thread.
"""

import argparse
import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from edgewright_converter.children import Limits, default_memory_bytes
from edgewright_converter.means import Means
from edgewright_converter.measure import (
    Evaluation,
    Reference,
    evaluate,
    measure_latency,
    run_samples,
)
from edgewright_converter.noise import silenced
from edgewright_converter.pipeline import STAGES, convert
from edgewright_converter.progress import Progress
from edgewright_converter.request import ConversionRequest
from edgewright_converter.samples import Samples
from edgewright_manifests.bundle import open_bundle
from edgewright_manifests.variant import Target, Variant
from edgewright_runtime.engine import Session, open_session
from edgewright_runtime.engine.telemetry import forbid_telemetry

from benchmarks.zoo import ZOO, PackageUnavailable

Arrays = dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]
TARGETS: tuple[Target, ...] = ("onnx", "openvino", "tflite")
SAMPLES = {
    "efficientnet-lite0": (128, 1000),
    "magika": (128, 700),
    "basic-pitch": (16, 24),
    "pp-ocr-rec": (32, 100),
    "resnet8": (256, 10_000 - 256),
}
"""Per model: so many to calibrate with, and so many others to measure on."""
DOC = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
COMMAND = "make bench-converter"
_HEADING = "## Converter"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `problem` where nothing could be measured."""

    model: str
    target: str
    by: str
    evaluation: Evaluation | None = None
    speed_up: float = 0.0
    size_share: float = 0.0
    seconds: float = 0.0
    problem: str = ""

    def cells(self) -> str:
        """The line in Markdown."""
        head = f"| {self.model} | {self.target} | {self.by} |"
        if self.evaluation is None:
            return f"{head} {self.problem} | | | | |"
        quality = self.evaluation.quality
        right = "–"
        if quality.accuracy is not None:
            right = f"{quality.accuracy:.2%} of {quality.accuracy_float:.2%}"
        elif quality.top1_agreement is not None:
            right = f"{quality.top1_agreement:.2%} as float"
        return (
            f"{head} {right} | {quality.snr_db:.1f} | {self.speed_up:.2f}x | "
            f"{self.size_share:.0%} | {self.seconds:.1f} |"
        )


def onnxruntime_default(model: Path, samples: Samples, out: Path) -> Path:
    """quantize_static as its signature has it."""
    from onnxruntime.quantization import quantize_static

    class Reader:
        def __init__(self) -> None:
            self.samples = iter(samples)

        def get_next(self) -> Arrays | None:
            return next(self.samples, None)

    quantize_static(str(model), str(out / "model.onnx"), Reader())
    return out / "model.onnx"


def nncf_default(model: Path, samples: Samples, out: Path) -> Path:
    """nncf.quantize as its signature has it, on OpenVINO's model."""
    import nncf
    import openvino

    quantized = nncf.quantize(openvino.Core().read_model(model), nncf.Dataset(list(samples)))
    openvino.save_model(quantized, out / "model.xml", compress_to_fp16=False)
    return out / "model.xml"


def ai_edge_default(model: Path, samples: Samples, out: Path) -> Path:
    """Its static_wi8_ai8 with its own calibration, on our float TFLite file, inputs and outputs
    left in float: all three are called with the same arrays.
    """
    from ai_edge_quantizer import quantizer, recipe_manager
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName

    recipe = recipe_manager.RecipeManager()
    recipe.add_static_config(".*", TFLOperationName.ALL_SUPPORTED, 8, 8)
    for edge in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        recipe.add_quantization_config(".*", edge, algorithm_key=AlgorithmName.NO_QUANTIZE)
    work = quantizer.Quantizer(str(model), recipe.get_quantization_recipe())
    ranges = work.calibrate({"serving_default": list(samples)})
    path = out / "model.tflite"
    path.write_bytes(work.quantize(ranges).quantized_model)
    return path


Rival = tuple[str, Callable[[Path, Samples, Path], Path]]
"""A name, and (the float file of the target, calibration samples, an empty folder) -> the file."""

RIVALS: dict[Target, tuple[Rival, ...]] = {
    "onnx": (("onnxruntime default", onnxruntime_default),),
    "openvino": (("nncf default", nncf_default),),
    "tflite": (("ai-edge-quantizer default", ai_edge_default),),
}
"""Another library is one function above and one entry here."""


def compare(
    name: str, folder: Path, targets: Sequence[Target], rivals: Mapping[Target, Sequence[Rival]]
) -> list[Row]:
    """All rows of one model; `rivals` may be empty."""
    calibrate, measure = SAMPLES.get(name, (64, 128))
    model, before, after = ZOO[name].write(folder, calibration=calibrate, evaluation=measure)
    rows = []
    for target in targets:
        started = time.perf_counter()
        ours = _convert(model, before, after, target, folder / f"{target}.bundle", "auto")
        ours_s = time.perf_counter() - started
        plain = _convert(model, before, after, target, folder / f"{target}-float.bundle", "float")
        bench = _Bench(name, target, _samples(before), _samples(after), folder / target)
        rows += bench.measure(plain, (ours, ours_s), rivals.get(target, ()))
    return rows


def _convert(
    model: Path, before: Path, after: Path, target: Target, out: Path, precision: str
) -> tuple[Path, Variant]:
    request = ConversionRequest(
        model=model,
        name="bench",
        version="1",
        out=out,
        targets=(target,),
        all_targets=False,
        calibration=before,
        evaluation=after,
        precision="auto" if precision == "auto" else "float",
        replace=True,
    )
    alone = Means(1, Limits(default_memory_bytes()), None, 0)  # no cache: its time is measured
    convert(request, alone, Progress(STAGES), datetime.datetime.now(datetime.UTC))
    entry = open_bundle(out).entry(target)
    folder = out.with_suffix(".unpacked")
    entry.unpack(folder)
    return folder / entry.variant.files[0].name, entry.variant


@dataclass(frozen=True, slots=True)
class _Bench:
    name: str
    target: Target
    calibration: Samples
    evaluation: Samples
    out: Path

    def measure(
        self,
        plain: tuple[Path, Variant],
        ours: tuple[tuple[Path, Variant], float],
        rivals: Sequence[Rival],
    ) -> list[Row]:
        """A row for ours, then one for each of `rivals`, all timed together."""
        (made, variant), seconds = ours
        float_session = open_session(self.target, plain[0])
        reference = Reference(run_samples(float_session, self.evaluation), self.evaluation.labels)
        sessions: list[Session] = [float_session]
        measured: list[tuple[str, Evaluation, int, float]] = []
        failed: list[Row] = []

        def add(by: str, path: Path, size_bytes: int, took_s: float) -> None:
            session = open_session(self.target, path)
            judged = evaluate(session, self.evaluation, reference)
            sessions.append(session)
            measured.append((by, judged, size_bytes, took_s))

        add(f"edgewright: {variant.recipe}", made, _size(variant), seconds)
        for number, (by, build) in enumerate(rivals):
            folder = self.out / str(number)
            folder.mkdir(parents=True)
            started = time.perf_counter()
            try:
                with silenced():
                    path = build(plain[0], self.calibration, folder)
                took_s = time.perf_counter() - started
                add(by, path, sum(file.stat().st_size for file in folder.iterdir()), took_s)
            except Exception as error:  # a default that fails is a row of the table
                told = f"fails: {type(error).__name__}: {' '.join(str(error).split())[:90]}"
                failed.append(Row(self.name, self.target, by, problem=told))
        times = measure_latency(sessions, self.evaluation, budget_s=4.0)
        for session in sessions:
            session.close()
        rows = [
            Row(
                self.name, self.target, by, judged,
                1 / timed.ratio_to_float, size_bytes / _size(plain[1]), took_s,
            )
            for (by, judged, size_bytes, took_s), timed in zip(measured, times[1:], strict=True)
        ]  # fmt: skip  # what it is, what was measured
        return rows + failed


def _samples(path: Path) -> Samples:
    arrays = dict(np.load(path))
    labels = arrays.pop("labels", None)
    return Samples(arrays, labels, path.name)


def _size(variant: Variant) -> int:
    return sum(file.size_bytes for file in variant.files)


def table(rows: list[Row]) -> str:
    """The section for the docs."""
    lines = [
        _HEADING,
        "",
        f"`{COMMAND}`: each library's default beside what `edgewright convert` ships, on the same "
        "model, calibration and held-out samples, one thread, interleaved.",
        "Seconds are for everything that was tried, measuring included. SNR is against float.",
        "",
        "| model | target | by | right | SNR dB | speed, float = 1 | size of float | s |",
        "|---|---|---|---|---|---|---|---|",
        *(row.cells() for row in rows),
        "",
    ]
    return "\n".join(lines)


def write(text: str) -> None:
    """Put the section into docs/benchmarks.md, in place of the one that is there."""
    old = DOC.read_text() if DOC.exists() else "# Benchmarks\n\n"
    before, found, rest = old.partition(_HEADING + "\n")
    _, next_, after = rest.partition("\n## ") if found else ("", "", "")
    DOC.write_text(before.rstrip() + "\n\n" + text + (f"\n## {after}" if next_ else ""))


def main() -> None:
    """Compare, print, and write where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument(
        "--model", "--models", dest="models", nargs="+", choices=list(ZOO), default=list(ZOO)
    )
    parser.add_argument(
        "--target", dest="targets", nargs="+", choices=TARGETS, default=list(TARGETS)
    )
    parser.add_argument("--ours", action="store_true", help="without the other libraries")
    parser.add_argument("--write", action="store_true", help=f"into {DOC.name}")
    arguments = parser.parse_args()
    forbid_telemetry()
    rows: list[Row] = []
    for name in arguments.models:
        with TemporaryDirectory(prefix="edgewright-bench-") as folder:
            try:
                rows += compare(
                    name, Path(folder), arguments.targets, {} if arguments.ours else RIVALS
                )
            except PackageUnavailable as error:
                rows.append(Row(name, "–", "–", problem=f"not here: {error}"))
    text = table(rows)
    print(text)
    if arguments.write:
        write(text)


if __name__ == "__main__":
    main()
