import base64
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from edgewright_manifests.envelope import (
    EVENT,
    MAX_ENVELOPE_BYTES,
    VERSION_REPORT,
    key_id,
    open_envelope,
    seal,
)
from edgewright_manifests.errors import TrustError
from hypothesis import given, settings
from hypothesis import strategies as st

KEY = ec.generate_private_key(ec.SECP256R1())
ID = key_id(KEY.public_key())
SEALED = seal(b'{"device":"cam-1"}', VERSION_REPORT, KEY, ID)


@given(st.binary(max_size=2000), st.text(max_size=40))
@settings(max_examples=50, deadline=None)
def test_what_was_sealed_comes_out(payload: bytes, kind: str) -> None:
    assert open_envelope(seal(payload, kind, KEY, ID), kind, KEY.public_key()) == payload


def test_the_signature_is_over_dsses_pre_authentication_encoding() -> None:
    """Checked against the specification's own example, not against our code."""
    document = json.loads(seal(b"hello world", "http://example.com/HelloWorld", KEY, ID))
    encoded = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    signature = base64.b64decode(document["signatures"][0]["sig"])
    KEY.public_key().verify(signature, encoded, ec.ECDSA(hashes.SHA256()))
    assert document["payloadType"] == "http://example.com/HelloWorld"
    assert base64.b64decode(document["payload"]) == b"hello world"


def test_an_event_is_no_version_report() -> None:
    with pytest.raises(TrustError, match="it says that it is"):
        open_envelope(SEALED, EVENT, KEY.public_key())
    renamed = SEALED.replace(b"version-report", b"event")
    with pytest.raises(TrustError, match="does not verify"):
        open_envelope(renamed, EVENT, KEY.public_key())


def test_another_devices_key_does_not_verify() -> None:
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(TrustError, match="does not verify with the key"):
        open_envelope(SEALED, VERSION_REPORT, other)


@given(st.integers(0, len(SEALED) * 8 - 1))
@settings(max_examples=300, deadline=None)
def test_one_flipped_bit_is_found(bit: int) -> None:
    flipped = bytearray(SEALED)
    flipped[bit // 8] ^= 1 << (bit % 8)
    start = SEALED.index(b"sha256:")
    if start <= bit // 8 < start + len(ID):
        return  # the key's name is a hint for people and is not signed
    with pytest.raises(TrustError) as caught:
        open_envelope(bytes(flipped), VERSION_REPORT, KEY.public_key())
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_trust_error(data: bytes) -> None:
    with pytest.raises(TrustError):
        open_envelope(data, EVENT, KEY.public_key())


def test_limits_and_curves_are_checked() -> None:
    with pytest.raises(TrustError, match="at most"):
        seal(bytes(MAX_ENVELOPE_BYTES), EVENT, KEY, ID)
    with pytest.raises(TrustError, match="at most"):
        open_envelope(b" " * (MAX_ENVELOPE_BYTES + 1), EVENT, KEY.public_key())
    big = ec.generate_private_key(ec.SECP384R1())
    with pytest.raises(TrustError, match="secp384r1, expected P-256"):
        seal(b"", EVENT, big, "x")
    with pytest.raises(TrustError, match="secp384r1, expected P-256"):
        open_envelope(SEALED, VERSION_REPORT, big.public_key())
