"""OpenSSF Model Signing: ours is accepted by the public tool, and the other way round."""

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from edgewright_manifests.bundle import open_bundle
from edgewright_manifests.cli import main
from edgewright_manifests.errors import BundleError, DocumentError, TrustError
from edgewright_manifests.model_signing import sign_bundle, verify_signature

from tests.manifests.making import write_bundle

PRIVATE, PUBLIC = "key.pem", "key.pub"


def make_keys(
    folder: Path,
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | None = None,
    encryption: KeySerializationEncryption | None = None,
) -> None:
    key = key or ec.generate_private_key(ec.SECP256R1())
    folder.mkdir(exist_ok=True)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    (folder / PRIVATE).write_bytes(secret)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / PUBLIC).write_bytes(public)


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """A folder with the bundle `b`, its keys and its signature `b.sig`."""
    write_bundle(tmp_path / "b")
    make_keys(tmp_path)
    words = ["bundle", "sign", str(tmp_path / "b"), "--model-signing-key", str(tmp_path / PRIVATE)]
    assert main(words) == 0
    return tmp_path


def verify(folder: Path) -> str:
    return verify_signature(open_bundle(folder / "b"), folder / "b.sig", folder / PUBLIC)


def test_a_signature_lies_beside_the_bundle_which_stays_what_it_was(signed: Path) -> None:
    open_bundle(signed / "b").verify()
    assert sorted(path.name for path in signed.iterdir()) == ["b", "b.sig", PRIVATE, PUBLIC]
    assert verify(signed) == "detector-1.0.0"


def test_the_command_says_that_it_holds(signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    words = ["bundle", "verify-signature", str(signed / "b"), "--json"]
    assert main([*words, "--model-signing-key", str(signed / PUBLIC)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["digest"] == open_bundle(signed / "b").digest


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_every_curve_of_the_specification_signs(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    write_bundle(tmp_path / "b")
    make_keys(tmp_path, ec.generate_private_key(curve))
    made = sign_bundle(open_bundle(tmp_path / "b"), tmp_path / PRIVATE)
    (tmp_path / "b.sig").write_bytes(made)
    assert verify(tmp_path)


def test_one_flipped_bit_of_a_blob_is_found(signed: Path) -> None:
    blob = next(iter((signed / "b" / "blobs" / "sha256").iterdir()))
    blob.write_bytes(bytes([blob.read_bytes()[0] ^ 1]) + blob.read_bytes()[1:])
    with pytest.raises((BundleError, TrustError)):
        verify(signed)


def test_another_bundle_is_not_covered(signed: Path) -> None:
    shutil.rmtree(signed / "b")
    write_bundle(signed / "b", version="2.0.0")
    with pytest.raises(TrustError, match="is for another bundle"):
        verify(signed)


def test_another_key_is_told_from_a_broken_signature(signed: Path, tmp_path: Path) -> None:
    make_keys(tmp_path / "other")
    (signed / PUBLIC).write_bytes((tmp_path / "other" / PUBLIC).read_bytes())
    with pytest.raises(TrustError, match="was made with another key"):
        verify(signed)


def _drop_a_resource(document: dict[str, Any]) -> None:
    payload = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))
    payload["predicate"]["resources"].pop()
    changed = base64.b64encode(json.dumps(payload).encode()).decode()
    document["dsseEnvelope"]["payload"] = changed


@pytest.mark.parametrize(
    "spoil",
    [
        _drop_a_resource,
        lambda document: document["dsseEnvelope"]["signatures"][0].update(sig="AAAA"),
        lambda document: document["dsseEnvelope"]["signatures"][0].update(sig="é"),
        lambda document: document["dsseEnvelope"].update(signatures=[]),
    ],
)
def test_a_changed_statement_or_signature_does_not_hold(
    signed: Path, spoil: Callable[[dict[str, Any]], None]
) -> None:
    document = json.loads((signed / "b.sig").read_text())
    spoil(document)
    (signed / "b.sig").write_text(json.dumps(document))
    with pytest.raises(TrustError, match="the signature does not hold"):
        verify(signed)


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 5000, b"\xff\x00", b"null"])
def test_what_is_no_signature_is_refused_in_one_line(signed: Path, content: bytes) -> None:
    (signed / "b.sig").write_bytes(content)
    with pytest.raises(DocumentError) as told:
        verify(signed)
    assert "\n" not in str(told.value)


def test_keys_of_other_kinds_are_refused_with_advice(tmp_path: Path) -> None:
    bundle = open_bundle(write_bundle(tmp_path / "b"))
    make_keys(tmp_path / "ed", ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(TrustError, match="is no key on P-256"):
        sign_bundle(bundle, tmp_path / "ed" / PRIVATE)
    make_keys(tmp_path / "locked", encryption=BestAvailableEncryption(b"secret"))
    with pytest.raises(TrustError, match="is encrypted"):
        sign_bundle(bundle, tmp_path / "locked" / PRIVATE)
    with pytest.raises(TrustError, match="is no private key"):
        sign_bundle(bundle, tmp_path / "ed" / PUBLIC)


def test_a_signature_inside_the_bundle_is_wrong_usage(signed: Path) -> None:
    words = ["bundle", "sign", str(signed / "b"), "--model-signing-key", str(signed / PRIVATE)]
    assert main([*words, "--out", str(signed / "b" / "b.sig")]) == 2
    open_bundle(signed / "b").verify()


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
def test_a_signature_outlives_a_copy_by_skopeo(signed: Path) -> None:
    moved = signed / "moved"
    copy = ["skopeo", "--insecure-policy", "copy", "--quiet", "--all"]
    subprocess.run(
        [*copy, f"oci:{signed / 'b'}:1.0.0", f"oci:{moved}:1.0.0"], check=True, timeout=60
    )
    raw = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci:{moved}:1.0.0"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip  # one command
    assert len(json.loads(raw.stdout)["manifests"]) == 2
    assert verify_signature(open_bundle(moved), signed / "b.sig", signed / PUBLIC)


@pytest.mark.long
def test_the_public_tool_accepts_ours_and_we_accept_its(signed: Path) -> None:
    tool = _public_tool(signed.parent / "venv")
    common = ["--signature", str(signed / "b.sig")]
    checked = subprocess.run(
        [tool, "verify", "key", str(signed / "b"), *common, "--public_key", str(signed / PUBLIC)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip  # one command
    assert checked.returncode == 0, checked.stderr
    assert "Verification succeeded" in checked.stdout + checked.stderr
    (signed / "b.sig").unlink()
    subprocess.run(
        [tool, "sign", "key", str(signed / "b"), *common, "--private_key", str(signed / PRIVATE)],
        check=True, capture_output=True,
    )  # fmt: skip  # one command
    assert verify(signed)
    (signed / "b" / "blobs" / "sha256" / ("0" * 64)).write_bytes(b"")
    spoilt = subprocess.run(
        [tool, "verify", "key", str(signed / "b"), *common, "--public_key", str(signed / PUBLIC)],
        capture_output=True, check=False,
    )  # fmt: skip  # one command
    assert spoilt.returncode != 0
    with pytest.raises(BundleError, match="does not belong"):
        verify(signed)


def _public_tool(venv: Path) -> str:
    """`model_signing` from PATH, or installed into an environment of its own."""
    if (found := shutil.which("model_signing")) is not None:
        return found
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, capture_output=True)
    installed = subprocess.run(
        # 1.1.1 imports OpenSSL and does not say so.
        [venv / "bin" / "pip", "install", "--quiet", "model-signing>=1.1", "pyopenssl"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip  # one command
    if installed.returncode:
        pytest.skip(f"model-signing cannot be installed here: {installed.stderr[-200:]}")
    return str(venv / "bin" / "model_signing")
