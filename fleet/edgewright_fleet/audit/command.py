# ruff: noqa: T201 - a command prints
"""`edgewright fleet audit verify|export|prove`: works on the folder, with no server running."""

import argparse
import sys
from pathlib import Path

from edgewright_manifests import documents
from edgewright_manifests.documents import Document
from edgewright_manifests.errors import DocumentError, UsageError

from edgewright_fleet.audit.export import export_log
from edgewright_fleet.audit.heads import Verifier
from edgewright_fleet.audit.opening import PUBLIC_KEY
from edgewright_fleet.audit.proofs import InclusionProof, check_inclusion, prove_inclusion
from edgewright_fleet.audit.verify import VerifyReport, verify_log
from edgewright_fleet.errors import AuditError

HELP = "verify, export or prove the tamper-evident record of every operation"
DATA = Path("edgewright-fleet")
"""Where `fleet serve` keeps everything unless told otherwise."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the three actions."""
    actions = parser.add_subparsers(dest="audit_action", metavar="ACTION", required=True)
    verify = actions.add_parser("verify", help="find changed, removed or reordered records")
    _add_log_arguments(verify)
    verify.add_argument(
        "--checkpoint",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a checkpoint that was kept elsewhere; the log must still contain it",
    )
    verify.add_argument(
        "--proof",
        type=Path,
        metavar="FILE",
        help="check a file that `prove` wrote instead; needs no log, only --public-key",
    )
    export = actions.add_parser("export", help="copy the signed records to a new folder")
    _add_log_arguments(export)
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new folder")
    prove = actions.add_parser("prove", help="show that a record is in the log, without the log")
    _add_log_arguments(prove)
    prove.add_argument("index", type=int, help="the record's number, from 0")
    prove.add_argument("--out", type=Path, metavar="FILE", help="write it there, not to stdout")


def run(arguments: argparse.Namespace) -> int:
    """Do it; 0 done, 1 when the log or the proof does not hold."""
    actions = {"verify": _verify, "export": _export, "prove": _prove}
    return actions[arguments.audit_action](arguments)


def _add_log_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, default=DATA, metavar="DIR", help=f"the server's folder ({DATA})"
    )
    parser.add_argument(
        "--log", type=Path, metavar="DIR", help="the log itself, such as an export (DATA/audit)"
    )
    parser.add_argument(
        "--public-key",
        metavar="KEY|FILE",
        help="the pinned key; without it the one that lies beside the log is believed",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _verify(arguments: argparse.Namespace) -> int:
    if arguments.proof is not None:
        return _check_proof(arguments)
    kept = {str(path): _read(path) for path in arguments.checkpoint}
    report = verify_log(_folder(arguments), _public_key(arguments), kept)
    if arguments.json:
        _print_document(report)
    else:
        _print_report(report, pinned=arguments.public_key is not None)
    return 0 if report.intact else 1


def _print_report(report: VerifyReport, *, pinned: bool) -> None:
    if report.intact:
        print(f"intact: {report.signed} records, root {report.root[:16]}")
        for size in report.kept:
            print(f"agrees with the kept checkpoint of {size} records")
    for problem in report.problems:
        place = "" if problem.index is None else f" at record {problem.index}"
        print(f"NOT INTACT: {problem.kind}{place}: {problem.message}")
    if not pinned:
        print(
            "the public key was taken from the log's own folder; pin it with --public-key",
            file=sys.stderr,
        )


def _check_proof(arguments: argparse.Namespace) -> int:
    proof = documents.read_json(arguments.proof, InclusionProof)
    if arguments.public_key is None:
        raise UsageError("--proof needs --public-key: a proof must not bring its own key")
    record = check_inclusion(proof, _public_key(arguments))
    if arguments.json:
        _print_document(record)
    else:
        print(f"holds: record {proof.index}: {record.operation} {record.phase} by {record.user}")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    report = export_log(_folder(arguments), _public_key(arguments), arguments.out)
    if arguments.json:
        _print_document(report)
    else:
        print(f"exported {report.records} records to {report.folder}")
    return 0


def _prove(arguments: argparse.Namespace) -> int:
    proof = prove_inclusion(_folder(arguments), _public_key(arguments), arguments.index)
    if arguments.out is None:
        _print_document(proof)
    else:
        documents.write_atomically(arguments.out, documents.encode(proof) + b"\n")
        print(f"wrote {arguments.out}", file=sys.stderr)
    return 0


def _folder(arguments: argparse.Namespace) -> Path:
    folder: Path = arguments.log or arguments.data / "audit"
    if not folder.is_dir():
        raise AuditError(f"{folder}: there is no audit log here; name the folder with --data")
    return folder


def _public_key(arguments: argparse.Namespace) -> str:
    given: str | None = arguments.public_key
    if given is None:
        return _read(_folder(arguments) / PUBLIC_KEY).decode(errors="replace").strip()
    if Path(given).is_file():
        given = _read(Path(given)).decode(errors="replace").strip()
    Verifier(given)  # says at once when it is no key
    return given


def _read(path: Path) -> bytes:
    try:
        return documents.read_bytes(path)
    except DocumentError as error:
        raise AuditError(str(error)) from error


def _print_document(document: Document) -> None:
    print(documents.encode(document).decode())
