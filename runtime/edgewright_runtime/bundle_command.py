"""`edgewright bundle`: look into bundles, check them, take them apart, put them together."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from edgewright_manifests import documents
from edgewright_manifests.bundle import Bundle, BundleEntry, open_bundle
from edgewright_manifests.documents import Document
from edgewright_manifests.errors import BundleError, UsageError
from edgewright_manifests.variant import TARGETS, Variant

from edgewright_runtime import bundle_assembly_command, bundle_signing_command
from edgewright_runtime.engine.availability import available_targets
from edgewright_runtime.engine.describing import shown
from edgewright_runtime.update.preflight import PreflightVerdict, run_preflight

HELP = "show, check, extract, sign or assemble bundles"


class BundleSummary(Document, frozen=True):
    """What `bundle show --json` prints."""

    name: str
    version: str
    digest: str
    variants: tuple[Variant, ...]


class VariantCheck(Document, frozen=True):
    """The golden vectors of one variant, run here; `passed` is None when they were not."""

    variant: str
    passed: bool | None
    reason: str
    placement: str | None = None


class BundleCheck(Document, frozen=True):
    """What `bundle check --json` prints."""

    name: str
    version: str
    digest: str
    passed: bool
    variants: tuple[VariantCheck, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `Command`."""
    sub = parser.add_subparsers(dest="bundle_command", metavar="COMMAND")
    for word, text in (
        ("show", "print what is in a bundle"),
        ("check", "verify every digest and run the golden vectors on what this machine can run"),
        ("extract", "write one variant's artifact to a file"),
    ):
        command = sub.add_parser(word, help=text, description=text)
        command.add_argument("bundle", type=Path)
        command.add_argument("--target", choices=TARGETS, help="only this variant")
        command.add_argument("--json", action="store_true", help="print one JSON document")
        if word == "extract":
            command.add_argument("--out", type=Path, metavar="FILE", help="default: its own name")
        if word == "check":
            command.add_argument("--threads", type=int, default=1, metavar="N")
    assembly = bundle_assembly_command
    assembly.add_arguments(
        sub.add_parser("assemble", help=assembly.HELP, description=assembly.HELP)
    )
    bundle_signing_command.add_arguments(sub)


def run(arguments: argparse.Namespace) -> int:
    """See `Command`."""
    match arguments.bundle_command:
        case "show":
            return _show(arguments)
        case "check":
            return _check(arguments)
        case "extract":
            return _extract(arguments)
        case "assemble":
            return bundle_assembly_command.run(arguments)
        case "sign":
            return bundle_signing_command.run_sign(arguments)
        case "verify-signature":
            return bundle_signing_command.run_verify(arguments)
        case _:
            raise UsageError(
                "say what to do: show, check, extract, assemble, sign, verify-signature"
            )


def _show(arguments: argparse.Namespace) -> int:
    bundle = open_bundle(arguments.bundle)
    variants = tuple(entry.variant for entry in _entries(bundle, arguments.target))
    if arguments.json:
        summary = BundleSummary(
            name=bundle.name, version=bundle.version, digest=bundle.digest, variants=variants
        )
        print(documents.encode(summary).decode())
        return 0
    print(f"{bundle.name} {bundle.version}  {bundle.digest}")
    print(f"{shown(variants[0].signature)}\n")
    print(
        f"{'variant':<18}{'KiB':>9}{'accuracy':>10}{'float':>8}{'top-1':>8}{'SNR dB':>8}  made by"
    )
    for variant in variants:
        quality = variant.quality
        print(
            f"{variant.id:<18}{sum(file.size_bytes for file in variant.files) / 1024:>9.1f}"
            f"{_figure(quality.accuracy, 10, 3)}{_figure(quality.accuracy_float, 8, 3)}"
            f"{_figure(quality.top1_agreement, 8, 3)}{_figure(quality.snr_db, 8, 1)}"
            f"  {variant.recipe}{' (claimed, not measured)' if variant.claimed else ''}"
        )
    return 0


def _check(arguments: argparse.Namespace) -> int:
    bundle = open_bundle(arguments.bundle)
    bundle.verify()
    if not arguments.json:
        print(f"{bundle.name} {bundle.version}: every digest holds", file=sys.stderr)
    usable = available_targets()
    found = []
    for entry in _entries(bundle, arguments.target):
        reason = usable[entry.variant.target]
        if reason is not None:
            check = VariantCheck(variant=entry.variant.id, passed=None, reason=reason)
        else:
            check = check_variant(entry, threads=arguments.threads)
        found.append(check)
        if not arguments.json:
            _print_check(check)
    passed = not any(check.passed is False for check in found)
    if arguments.json:
        report = BundleCheck(
            name=bundle.name,
            version=bundle.version,
            digest=bundle.digest,
            passed=passed,
            variants=tuple(found),
        )
        print(documents.encode(report).decode())
    return 0 if passed else 1


def check_variant(entry: BundleEntry, *, threads: int) -> VariantCheck:
    """Run the golden vectors in a child, as a device's preflight does. Raises BundleError."""
    with tempfile.TemporaryDirectory(prefix="edgewright-check-") as folder:
        entry.unpack(Path(folder) / "variant")
        verdict = run_preflight(Path(folder) / "variant", threads=threads, stop=lambda: False)
    assert isinstance(verdict, PreflightVerdict)  # nobody stopped it
    return VariantCheck(
        variant=entry.variant.id,
        passed=verdict.passed,
        reason=verdict.reason,
        placement=verdict.placement,
    )


def _extract(arguments: argparse.Namespace) -> int:
    bundle = open_bundle(arguments.bundle)
    if arguments.target is None and len(bundle.entries) > 1:
        known = ", ".join(entry.variant.id for entry in bundle.entries)
        raise UsageError(f"{bundle.path} has {known}; choose one with --target")
    entry = _entries(bundle, arguments.target)[0]
    written = extract_variant(entry, arguments.out)
    if arguments.json:
        print(documents.encode(Extracted(variant=entry.variant.id, files=written)).decode())
    else:
        for path in written:
            print(f"wrote {path}", file=sys.stderr)
    return 0


class Extracted(Document, frozen=True):
    """What `bundle extract --json` prints."""

    variant: str
    files: tuple[str, ...]


def extract_variant(entry: BundleEntry, out: Path | None) -> tuple[str, ...]:
    """Write the artifact: its first file to `out`, others beside it with the same stem.

    Nothing is overwritten. Raises BundleError.
    """
    names = [file.name for file in entry.variant.files]
    if out is None or out.is_dir():
        targets = [(out or Path()) / name for name in names]
    else:
        targets = [out, *(out.with_name(out.stem + Path(name).suffix) for name in names[1:])]
    if len(set(targets)) != len(targets):
        raise BundleError(f"{out}: the artifact has {len(names)} files; give a folder that exists")
    for target in targets:
        if target.exists():
            raise BundleError(f"{target}: is there already; move it away or choose another --out")
    with tempfile.TemporaryDirectory(prefix="edgewright-extract-") as folder:
        entry.unpack(Path(folder) / "variant")
        for name, target in zip(names, targets, strict=True):
            try:
                shutil.copyfile(Path(folder) / "variant" / name, target)
            except OSError as error:
                raise BundleError(f"{target}: cannot be written: {error.strerror}") from error
    return tuple(str(target) for target in targets)


def _entries(bundle: Bundle, target: str | None) -> tuple[BundleEntry, ...]:
    return bundle.entries if target is None else (bundle.entry(target),)


def _figure(value: float | None, width: int, places: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width}.{places}f}"


def _print_check(check: VariantCheck) -> None:
    word = {True: "passed", False: "FAILED", None: "not run here"}[check.passed]
    where = f" [{check.placement}]" if check.placement else ""
    print(f"{check.variant:<18}{word}: {check.reason}{where}")
