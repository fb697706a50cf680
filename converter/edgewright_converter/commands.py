"""`edgewright convert`: one model in, one bundle of measured variants out."""

import argparse
import datetime
import re
from pathlib import Path

from edgewright_manifests.documents import encode
from edgewright_manifests.errors import DocumentError, UsageError
from edgewright_manifests.topics import check_name
from edgewright_manifests.variant import TARGETS, Target

from edgewright_converter.request import IMPLEMENTED_TARGETS, ConversionRequest, Gates

HELP = "convert a trained model to one bundle of measured variants"

_ALL = "all"
_MAX_GOLDEN = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    gates = Gates()
    parser.add_argument("model", metavar="MODEL.onnx", type=Path, help="the trained model")
    parser.add_argument("--name", help="the model's name (default: the file's stem)")
    parser.add_argument(
        "--release-version", default="1", metavar="V", help="version of this release (default: 1)"
    )
    parser.add_argument(
        "--target",
        action="append",
        choices=[*TARGETS, _ALL],
        metavar="T",
        help="onnx, openvino, tflite, coreml, tensorrt or all (default: all); "
        "may be given several times",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="F.npz|DIR",
        help="samples to quantize with: one array per model input, by name",
    )
    parser.add_argument(
        "--evaluate",
        type=Path,
        metavar="F.npz|DIR",
        help="samples to measure on, with `labels` where known "
        "(default: a quarter of the calibration samples, held out)",
    )
    parser.add_argument(
        "--precision",
        choices=["auto", "int8", "fp16", "float"],
        default="auto",
        help="auto ships INT8 where it keeps the quality (default)",
    )
    parser.add_argument(
        "--max-accuracy-drop",
        type=float,
        default=gates.max_accuracy_drop,
        metavar="SHARE",
        help=f"most accuracy that may be lost, 0 to 1 (default: {gates.max_accuracy_drop})",
    )
    parser.add_argument(
        "--min-agreement",
        type=float,
        default=gates.min_top1_agreement,
        metavar="SHARE",
        help="without labels: least share of answers that must equal the float model's "
        f"(default: {gates.min_top1_agreement})",
    )
    parser.add_argument(
        "--min-snr",
        type=float,
        default=gates.min_snr_db,
        metavar="DB",
        help="without labels and classes: least signal to noise in decibels "
        f"(default: {gates.min_snr_db:.0f})",
    )
    parser.add_argument(
        "--max-latency-ms",
        type=float,
        metavar="MS",
        help="longest median inference, batch 1, one thread, measured here",
    )
    parser.add_argument(
        "--max-size", type=int, metavar="BYTES", help="largest artifact, all its files together"
    )
    parser.add_argument(
        "--input-shape",
        action="append",
        default=[],
        metavar="NAME=1,3,48,320",
        help="size of an input with dynamic axes (default: the samples'); the first is the batch, "
        "which stays as it is; may be given several times",
    )
    parser.add_argument(
        "--golden",
        type=int,
        default=64,
        metavar="N",
        help="samples that travel along for devices to check themselves with (default: 64)",
    )
    parser.add_argument("--license", metavar="SPDX", help="the model's licence, for its card")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: NAME.bundle")
    parser.add_argument("--force", action="store_true", help="replace a bundle that is there")
    parser.add_argument(
        "--json", action="store_true", help="print the report as JSON instead of a table"
    )


def run(arguments: argparse.Namespace) -> int:
    """Convert; 0 done, raises what the command line prints as one line."""
    request = _request(arguments)
    # Here, not above: onnx and its friends take a second to import, `--help` need not.
    from edgewright_runtime.engine.telemetry import forbid_telemetry

    forbid_telemetry()
    from edgewright_converter.pipeline import STAGES, convert
    from edgewright_converter.progress import Progress
    from edgewright_converter.report.table import render_table

    progress = Progress(STAGES)
    with progress.interruptible():
        done = convert(request, progress, datetime.datetime.now(datetime.UTC))
    if arguments.json:
        print(encode(done.report).decode())
    else:
        print(render_table(done.report))
        print(f"\n{done.out}  {done.digest}")
    return 0


def _request(arguments: argparse.Namespace) -> ConversionRequest:
    targets, everything = _targets(arguments.target or [_ALL])
    if arguments.precision == "int8" and arguments.calibration is None:
        raise UsageError("--precision int8 needs samples; give --calibration F.npz")
    if not 1 <= arguments.golden <= _MAX_GOLDEN:
        raise UsageError(f"--golden {arguments.golden}: expected 1 to {_MAX_GOLDEN}")
    for option in ("max_accuracy_drop", "min_agreement"):
        if not 0 <= getattr(arguments, option) <= 1:
            raise UsageError(
                f"--{option.replace('_', '-')} {getattr(arguments, option)}: expected 0 to 1 "
                "(0.01 is one point)"
            )
    for option in ("max_latency_ms", "max_size"):
        limit = getattr(arguments, option)
        if limit is not None and not limit > 0:
            raise UsageError(f"--{option.replace('_', '-')} {limit}: expected more than 0")
    name = arguments.name or re.sub(r"[^A-Za-z0-9._-]", "-", arguments.model.stem)
    try:
        check_name("model name", name)
        check_name("version", arguments.release_version)
    except DocumentError as error:
        raise UsageError(str(error)) from error
    out: Path = arguments.out or Path(f"{name}.bundle")
    return ConversionRequest(
        model=arguments.model,
        name=name,
        version=arguments.release_version,
        out=out,
        targets=targets,
        all_targets=everything,
        calibration=arguments.calibration,
        evaluation=arguments.evaluate,
        precision=arguments.precision,
        gates=Gates(
            arguments.max_accuracy_drop,
            arguments.min_agreement,
            arguments.min_snr,
            arguments.max_latency_ms,
            arguments.max_size,
        ),
        input_sizes=tuple(_input_sizes(text) for text in arguments.input_shape),
        golden=arguments.golden,
        replace=arguments.force,
        license=arguments.license,
    )


def _input_sizes(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, sizes = text.rpartition("=")
    if not name or not re.fullmatch(r"[0-9]{1,9}(,[0-9]{1,9})*", sizes) or "0" in sizes.split(","):
        raise UsageError(f"--input-shape {text}: expected NAME=1,3,48,320")
    return name, tuple(int(size) for size in sizes.split(","))


def _targets(words: list[str]) -> tuple[tuple[Target, ...], bool]:
    for word in words:
        if word != _ALL and word not in IMPLEMENTED_TARGETS:
            raise UsageError(
                f"--target {word}: is not available yet; use {', '.join(IMPLEMENTED_TARGETS)}"
            )
    if _ALL in words:
        return IMPLEMENTED_TARGETS, True
    return tuple(target for target in IMPLEMENTED_TARGETS if target in words), False
