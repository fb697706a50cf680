"""`edgewright convert`: one model in, one bundle of measured variants out."""

import argparse
import datetime
import re
from pathlib import Path

from edgewright_manifests.documents import encode
from edgewright_manifests.errors import DocumentError, UsageError
from edgewright_manifests.topics import check_name
from edgewright_manifests.variant import Target

from edgewright_converter.model_reference import stem_of
from edgewright_converter.options import ALL, add_arguments
from edgewright_converter.quality_options import gates_of, metrics_of, preprocessing_of
from edgewright_converter.request import IMPLEMENTED_TARGETS, ConversionRequest

__all__ = ["HELP", "add_arguments", "run"]

HELP = "convert a trained model to one bundle of measured variants"

_MAX_GOLDEN = 10_000


def run(arguments: argparse.Namespace) -> int:
    """Convert; 0 done, raises what the command line prints as one line."""
    request = _request(arguments)
    # Here, not above: onnx and its friends take a second to import, `--help` need not.
    from edgewright_runtime.engine.telemetry import forbid_telemetry

    forbid_telemetry()
    from edgewright_converter.means import means_of
    from edgewright_converter.pipeline import STAGES, convert
    from edgewright_converter.progress import Progress
    from edgewright_converter.report.table import render_table

    means = means_of(arguments)
    progress = Progress(STAGES)
    with progress.interruptible():
        done = convert(request, means, progress, datetime.datetime.now(datetime.UTC))
    if arguments.json:
        print(encode(done.report).decode())
    else:
        print(render_table(done.report))
        print(f"\n{done.out}  {done.digest}")
    return 0


def _request(arguments: argparse.Namespace) -> ConversionRequest:
    targets, everything = _targets(arguments.target or [ALL])
    if arguments.precision == "int8" and arguments.calibration is None:
        raise UsageError("--precision int8 needs samples; give --calibration F.npz")
    if not 1 <= arguments.golden <= _MAX_GOLDEN:
        raise UsageError(f"--golden {arguments.golden}: expected 1 to {_MAX_GOLDEN}")
    name = arguments.name or re.sub(r"[^A-Za-z0-9._-]", "-", stem_of(arguments.model))
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
        gates=gates_of(arguments),
        metrics=metrics_of(arguments),
        preprocessing=preprocessing_of(arguments),
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
        if word != ALL and word not in IMPLEMENTED_TARGETS:
            raise UsageError(
                f"--target {word}: is not available yet; use {', '.join(IMPLEMENTED_TARGETS)}"
            )
    if ALL in words:
        return IMPLEMENTED_TARGETS, True
    return tuple(target for target in IMPLEMENTED_TARGETS if target in words), False
