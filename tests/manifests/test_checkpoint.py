import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from edgewright_manifests.errors import TrustError
from edgewright_manifests.tree import (
    EMPTY_ROOT,
    Checkpoint,
    open_checkpoint,
    parse_verifier_key,
    sign_checkpoint,
    verifier_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

ORIGIN = "fleet.example/audit"
KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key()
CHECKPOINT = Checkpoint(ORIGIN, 20852163, EMPTY_ROOT)
NOTE = sign_checkpoint(CHECKPOINT, KEY)


def test_a_checkpoint_comes_back() -> None:
    assert open_checkpoint(NOTE, PUBLIC, origin=ORIGIN) == CHECKPOINT


def test_the_note_is_laid_out_as_c2sp_says() -> None:
    root = base64.b64encode(EMPTY_ROOT).decode()
    text, signature = NOTE.decode().split("\n\n")
    assert text == f"{ORIGIN}\n20852163\n{root}"
    mark, name, encoded = signature.removesuffix("\n").split(" ")
    assert (mark, name) == ("\u2014", ORIGIN)
    raw = base64.b64decode(encoded)
    key_id = hashlib.sha256(f"{ORIGIN}\n\x01".encode() + PUBLIC.public_bytes_raw()).digest()[:4]
    assert raw[:4] == key_id
    PUBLIC.verify(raw[4:], f"{text}\n".encode())


def test_the_note_of_the_go_implementation_verifies() -> None:
    """The known answer in golang.org/x/mod/sumdb/note's documentation."""
    key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    note = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
        "\n"
        "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSN"
        "XgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    name, public = parse_verifier_key(key)
    assert name == "PeterNeumann"
    with pytest.raises(TrustError, match="is no signed note"):  # the signature holds; no checkpoint
        open_checkpoint(note.encode(), public, origin="x", name=name)
    with pytest.raises(TrustError, match="does not verify"):
        open_checkpoint(note.replace("answer", "Answer").encode(), public, origin="x", name=name)


def test_signatures_of_witnesses_are_passed_over() -> None:
    witness = Ed25519PrivateKey.generate()
    second = sign_checkpoint(CHECKPOINT, witness, name="witness").decode().split("\n\n")[1]
    both = NOTE + second.encode()
    assert open_checkpoint(both, PUBLIC, origin=ORIGIN) == CHECKPOINT
    assert open_checkpoint(both, witness.public_key(), origin=ORIGIN, name="witness") == CHECKPOINT


def test_another_log_or_key_is_refused() -> None:
    with pytest.raises(TrustError, match="is of another log"):
        open_checkpoint(NOTE, PUBLIC, origin="other", name=ORIGIN)
    other = Ed25519PrivateKey.generate()
    with pytest.raises(TrustError, match="has no signature by"):
        open_checkpoint(NOTE, other.public_key(), origin=ORIGIN)


@given(st.integers(0, len(NOTE) * 8 - 1))
@settings(max_examples=200, deadline=None)
def test_one_flipped_bit_is_found(bit: int) -> None:
    flipped = bytearray(NOTE)
    flipped[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(TrustError) as caught:
        open_checkpoint(bytes(flipped), PUBLIC, origin=ORIGIN)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_a_trust_error(data: bytes) -> None:
    with pytest.raises(TrustError):
        open_checkpoint(data, PUBLIC, origin=ORIGIN)


@pytest.mark.parametrize(
    "body",
    [
        "{o}\n5\n",
        "{o}\n05\n{r}\n",
        "{o}\n-1\n{r}\n",
        "{o}\n5\nAAAA\n",
        "{o}\n\n{r}\n",
        "{o}\n5\n{r}\n\n",
    ],
)
def test_a_signed_text_that_is_no_checkpoint_is_refused(body: str) -> None:
    text = body.format(o=ORIGIN, r=base64.b64encode(EMPTY_ROOT).decode())
    key_id = base64.b64decode(NOTE.decode().rsplit(" ", 1)[1])[:4]
    signature = base64.b64encode(key_id + KEY.sign(text.encode())).decode()
    with pytest.raises(TrustError, match="is no signed note"):
        open_checkpoint(f"{text}\n\u2014 {ORIGIN} {signature}\n".encode(), PUBLIC, origin=ORIGIN)


def test_verifier_keys_survive_and_wrong_ones_are_refused() -> None:
    text = verifier_key(ORIGIN, PUBLIC)
    name, public = parse_verifier_key(text)
    assert name == ORIGIN
    assert isinstance(public, Ed25519PublicKey)
    assert public.public_bytes_raw() == PUBLIC.public_bytes_raw()
    for wrong in ("", "a+b", "a+00000000+AAAA", text.replace("fleet", "fleat"), text[:-4]):
        with pytest.raises(TrustError, match="is no signed-note verifier key"):
            parse_verifier_key(wrong)
    with pytest.raises(TrustError, match="must be one word"):
        verifier_key("two words", PUBLIC)
    with pytest.raises(TrustError, match="needs an origin and a 32 byte root"):
        sign_checkpoint(Checkpoint(ORIGIN, 1, b""), KEY)
