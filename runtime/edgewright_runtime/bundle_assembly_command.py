"""`edgewright bundle assemble`: a bundle from artifacts that other tools made.

A vendor's compiler, a colleague's export: edgewright did not measure them, so a person
states the figures, and the variants say that they are claimed. Devices hold them against
the golden vectors all the same.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, get_args

from edgewright_manifests import documents
from edgewright_manifests.bundle import BundleWriter, open_bundle
from edgewright_manifests.documents import Document
from edgewright_manifests.errors import UsageError
from edgewright_manifests.golden import GoldenVectors, read_golden, write_golden
from edgewright_manifests.preprocessing import Preprocessing
from edgewright_manifests.signature import ModelSignature
from edgewright_manifests.variant import TARGETS, Precision, Quality, Target, Tolerance

from edgewright_runtime.engine.session import BACKENDS, open_session
from edgewright_runtime.errors import BackendUnavailable

HELP = "put artifacts made elsewhere into a bundle, with figures that you claim"
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


class Assembled(Document, frozen=True):
    """What `bundle assemble --json` prints."""

    bundle: str
    digest: str
    variants: tuple[str, ...]


class _Part(NamedTuple):
    target: Target
    precision: Precision
    files: tuple[Path, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `Command`."""
    parser.add_argument("--name", required=True, help="the model's name")
    parser.add_argument("--release-version", required=True, metavar="V", help="its version")
    parser.add_argument(
        "--variant",
        action="append",
        required=True,
        metavar="TARGET[:PRECISION]=FILE[,FILE]...",
        help="an artifact; the first file is the one that the engine opens; may be repeated",
    )
    vectors = parser.add_mutually_exclusive_group(required=True)
    vectors.add_argument("--golden", type=Path, metavar="F.npz", help="input.NAME, output.NAME")
    vectors.add_argument(
        "--golden-from", type=Path, metavar="BUNDLE", help="use that bundle's golden vectors"
    )
    parser.add_argument("--accuracy", type=_share, metavar="0..1", help="the accuracy you claim")
    parser.add_argument("--min-accuracy", type=_share, metavar="0..1", help="floor on devices")
    parser.add_argument("--min-agreement", type=_share, metavar="0..1", help="top-1 floor")
    parser.add_argument("--min-snr-db", type=float, metavar="DB", help="signal to noise floor")
    parser.add_argument("--recipe", default="made elsewhere", help="how it was made")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--replace", action="store_true", help="take the place of a bundle there")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """See `Command`."""
    parts = [_part(word) for word in arguments.variant]
    tolerance = claimed_tolerance(
        accuracy=arguments.accuracy,
        min_accuracy=arguments.min_accuracy,
        min_agreement=arguments.min_agreement,
        min_snr_db=arguments.min_snr_db,
    )
    signature, golden, preprocessing = _golden(arguments, parts)
    quality = Quality(samples=golden.samples, accuracy=arguments.accuracy)
    with BundleWriter(arguments.name, arguments.release_version) as writer:
        variants = [
            writer.add_variant(
                target=part.target,
                precision=part.precision,
                recipe=arguments.recipe,
                signature=signature,
                files={path.name: documents.read_bytes(path) for path in part.files},
                quality=quality,
                tolerance=tolerance,
                claimed=True,
                golden=write_golden(golden),
                preprocessing=preprocessing,
            )
            for part in parts
        ]
        writer.commit(arguments.out, replace=arguments.replace)
    names = tuple(variant.id for variant in variants)
    if arguments.json:
        digest = open_bundle(arguments.out).digest
        document = Assembled(bundle=str(arguments.out), digest=digest, variants=names)
        print(documents.encode(document).decode())
    else:
        print(
            f"wrote {arguments.out} with {', '.join(names)}; its figures are claimed, not "
            f"measured: run `edgewright bundle check {arguments.out}`",
            file=sys.stderr,
        )
    return 0


def claimed_tolerance(
    *,
    accuracy: float | None,
    min_accuracy: float | None,
    min_agreement: float | None,
    min_snr_db: float | None,
) -> Tolerance:
    """The floors that a person set; a claimed accuracy alone is its own floor.

    A claim is a promise: golden samples that fall below it refuse the variant. Raises
    UsageError when nothing is promised at all.
    """
    floor = min_accuracy if min_accuracy is not None else accuracy
    if floor is None and min_agreement is None and min_snr_db is None:
        raise UsageError(
            "say what the artifacts promise: --accuracy, --min-accuracy, --min-agreement or "
            "--min-snr-db; without one a device could not tell a good one from a broken one"
        )
    return Tolerance(min_accuracy=floor, min_top1_agreement=min_agreement, min_snr_db=min_snr_db)


def _golden(
    arguments: argparse.Namespace, parts: Sequence[_Part]
) -> tuple[ModelSignature, GoldenVectors, Preprocessing | None]:
    if arguments.golden_from is not None:
        entry = open_bundle(arguments.golden_from).entries[0]
        return entry.variant.signature, entry.read_golden(), entry.variant.preprocessing
    signature = _signature(parts)
    return signature, read_golden(documents.read_bytes(arguments.golden), signature), None


def _signature(parts: Sequence[_Part]) -> ModelSignature:
    """What an artifact says of itself, from the first that an engine here can open."""
    unavailable: BackendUnavailable | None = None
    for part in parts:
        if part.target in BACKENDS:
            try:
                session = open_session(part.target, part.files[0])
            except BackendUnavailable as error:
                unavailable = unavailable or error
                continue
            try:
                return session.signature
            finally:
                session.close()
    if unavailable is not None:
        raise unavailable
    raise UsageError(
        "no artifact can be opened here to learn its inputs and outputs; name a bundle of the "
        "same model with --golden-from"
    )


def _part(word: str) -> _Part:
    head, separator, files = word.partition("=")
    target, _, precision = head.partition(":")
    if not separator or not files:
        raise UsageError(f"--variant {word}: write TARGET[:PRECISION]=FILE")
    if target not in TARGETS:
        raise UsageError(f"--variant {word}: the target is one of {', '.join(TARGETS)}")
    if precision and precision not in PRECISIONS:
        raise UsageError(f"--variant {word}: the precision is one of {', '.join(PRECISIONS)}")
    paths = [Path(name) for name in files.split(",")]
    if target == "openvino" and len(paths) == 1:
        paths.append(paths[0].with_suffix(".bin"))
    return _Part(
        next(known for known in TARGETS if known == target),
        next((known for known in PRECISIONS if known == precision), "float"),
        tuple(paths),
    )


def _share(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{word!r} is no share between 0 and 1")
    return value
