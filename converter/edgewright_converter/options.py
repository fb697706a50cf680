"""The options of `edgewright convert`, declared; commands.py makes a request of them."""

import argparse
from pathlib import Path

from edgewright_manifests.variant import TARGETS

from edgewright_converter.quality_options import add_quality

ALL = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        type=Path,
        help="the trained model: .onnx, .tflite, .keras, .h5, .pt2, a SavedModel's folder, or "
        "package.module:attribute for a PyTorch module or a JAX function",
    )
    parser.add_argument(
        "--name", help="the model's name (default: the file's stem, or the attribute)"
    )
    parser.add_argument(
        "--release-version", default="1", metavar="V", help="version of this release (default: 1)"
    )
    parser.add_argument(
        "--target",
        action="append",
        choices=[*TARGETS, ALL],
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
    add_quality(parser)
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
    add_means(parser)


def add_means(parser: argparse.ArgumentParser) -> None:
    """Declare what a conversion may use; none of it changes what comes out."""
    means = parser.add_argument_group("means, which change no byte of the artifacts")
    means.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="candidates that are made at the same time (default: by cores and free memory, "
        "at most 4); latencies are always measured alone",
    )
    means.add_argument("--no-cache", action="store_true", help="make everything again")
    means.add_argument(
        "--cache-dir",
        type=Path,
        metavar="DIR",
        help="where candidates are kept for the next run (default: edgewright in the user's "
        "cache folder)",
    )
    means.add_argument(
        "--cache-size", metavar="SIZE", default="4G", help="bound of the cache (default: 4G)"
    )
    means.add_argument(
        "--memory-limit",
        metavar="SIZE",
        help="memory of each process that touches the model, as 3G or 800M "
        "(default: three quarters of what is free)",
    )
    means.add_argument(
        "--step-limit",
        type=float,
        default=900.0,
        metavar="S",
        help="seconds after which a recipe that gives no sign of life is ended (default: 900)",
    )
