"""`edgewright bundle sign` and `verify-signature`: OpenSSF Model Signing with a key."""

import argparse
import sys
from pathlib import Path

from edgewright_manifests import documents
from edgewright_manifests.bundle import open_bundle
from edgewright_manifests.documents import Document
from edgewright_manifests.errors import UsageError
from edgewright_manifests.model_signing import sign_bundle, verify_signature

SIGN = "sign a bundle with a key (OpenSSF Model Signing); the signature goes beside it"
VERIFY = "check a bundle against its OpenSSF Model Signing signature"


class Signed(Document, frozen=True):
    """What `bundle sign --json` and `bundle verify-signature --json` print."""

    bundle: str
    digest: str
    signature: str


def add_arguments(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare both commands."""
    sign = commands.add_parser("sign", help=SIGN, description=SIGN)
    sign.add_argument("bundle", type=Path)
    sign.add_argument(
        "--model-signing-key",
        type=Path,
        required=True,
        metavar="PEM",
        help="private key on P-256, P-384 or P-521, not encrypted",
    )
    sign.add_argument("--out", type=Path, metavar="FILE", help="default: BUNDLE.sig")
    verify = commands.add_parser("verify-signature", help=VERIFY, description=VERIFY)
    verify.add_argument("bundle", type=Path)
    verify.add_argument(
        "--model-signing-key", type=Path, required=True, metavar="PEM", help="public key"
    )
    verify.add_argument("--signature", type=Path, metavar="FILE", help="default: BUNDLE.sig")
    for command in (sign, verify):
        command.add_argument("--json", action="store_true", help="print one JSON document")


def run_sign(arguments: argparse.Namespace) -> int:
    """Write the signature. Raises TrustError, BundleError, DocumentError, UsageError."""
    out: Path = arguments.out or _beside(arguments.bundle)
    if out.resolve().is_relative_to(arguments.bundle.resolve()):
        raise UsageError(f"--out {out}: is inside the bundle, where it would be a stray file")
    bundle = open_bundle(arguments.bundle)
    documents.write_atomically(out, sign_bundle(bundle, arguments.model_signing_key))
    return _tell(
        arguments, Signed(bundle=str(bundle.path), digest=bundle.digest, signature=str(out))
    )


def run_verify(arguments: argparse.Namespace) -> int:
    """0 when the signature holds. Raises TrustError, BundleError, DocumentError."""
    signature: Path = arguments.signature or _beside(arguments.bundle)
    bundle = open_bundle(arguments.bundle)
    verify_signature(bundle, signature, arguments.model_signing_key)
    found = Signed(bundle=str(bundle.path), digest=bundle.digest, signature=str(signature))
    return _tell(arguments, found)


def _beside(bundle: Path) -> Path:
    whole = bundle.resolve()
    return whole.with_name(f"{whole.name}.sig")


def _tell(arguments: argparse.Namespace, signed: Signed) -> int:
    if arguments.json:
        print(documents.encode(signed).decode())
    else:
        word = "signed" if arguments.bundle_command == "sign" else "the signature holds for"
        print(f"{word} {signed.bundle} {signed.digest}: {signed.signature}", file=sys.stderr)
    return 0
