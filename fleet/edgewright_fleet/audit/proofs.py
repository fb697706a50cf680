"""Proofs about the log that hold without the log: one record is in it; it only grew."""

import base64
import binascii
from pathlib import Path

from edgewright_manifests.documents import Document, decode
from edgewright_manifests.errors import DocumentError, TrustError
from edgewright_manifests.tree import (
    MerkleTree,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)

from edgewright_fleet.audit.heads import Head, Verifier
from edgewright_fleet.audit.opening import CHECKPOINT
from edgewright_fleet.audit.records import AuditRecord
from edgewright_fleet.audit.segments import read_lines
from edgewright_fleet.errors import AuditError, UnknownName


class InclusionProof(Document, frozen=True):
    """That `record` is number `index` of the log under `checkpoint`."""

    index: int
    record: str
    """The leaf's exact bytes: one JSON line."""
    proof: tuple[str, ...]
    """The audit path, from the leaf's sibling to the root's child; base64 of 32 bytes each."""
    checkpoint: str


class ConsistencyProof(Document, frozen=True):
    """That the log under `checkpoint` begins with its first `old_size` records as they were."""

    old_size: int
    proof: tuple[str, ...]
    """Base64 of 32 bytes each (RFC 6962, 2.1.2)."""
    checkpoint: str


def prove_inclusion(folder: Path, public_key: str, index: int) -> InclusionProof:
    """The proof for record `index`, good for ever for who has the public key.

    Raises UnknownName when no signed record has that index, AuditError when the log is not
    what was signed.
    """
    tree, head, record = _read(folder, public_key, index)
    if record is None or not 0 <= index < head.size:
        raise UnknownName(f"there is no signed record {index}; the log has {head.size} of them")
    return InclusionProof(
        index=index,
        record=record.decode(),
        proof=tuple(map(_encode, tree.inclusion_proof(index, head.size))),
        checkpoint=head.note,
    )


def prove_consistency(folder: Path, public_key: str, old_size: int) -> ConsistencyProof:
    """The proof that the log only grew since it had `old_size` records.

    Raises UnknownName when it never had so many (or none), AuditError as `prove_inclusion`.
    """
    tree, head, _ = _read(folder, public_key, None)
    if not 1 <= old_size <= head.size:
        raise UnknownName(f"there is no proof from size {old_size}; the log has {head.size}")
    return ConsistencyProof(
        old_size=old_size,
        proof=tuple(map(_encode, tree.consistency_proof(old_size, head.size))),
        checkpoint=head.note,
    )


def check_inclusion(proof: InclusionProof, public_key: str) -> AuditRecord:
    """The record, once the proof holds. Needs no log. Raises AuditError otherwise."""
    head = Verifier(public_key).open(proof.checkpoint.encode(), "proof")
    record = proof.record.encode()
    try:
        path = [_decode(step) for step in proof.proof]
        verify_inclusion(proof.index, head.size, leaf_hash(record), path, head.root)
        return decode(record, AuditRecord, source=f"record {proof.index}")
    except (TrustError, DocumentError) as error:
        raise AuditError(f"proof of record {proof.index}: does not hold: {error}") from error


def check_consistency(proof: ConsistencyProof, old_checkpoint: bytes, public_key: str) -> Head:
    """The new head, once it is the successor of the old one. Raises AuditError otherwise."""
    verifier = Verifier(public_key)
    old = verifier.open(old_checkpoint, "old checkpoint")
    head = verifier.open(proof.checkpoint.encode(), "proof")
    try:
        path = [_decode(step) for step in proof.proof]
        verify_consistency(old.size, head.size, old.root, head.root, path)
    except TrustError as error:
        raise AuditError(f"consistency proof: does not hold: {error}") from error
    return head


def _read(
    folder: Path, public_key: str, wanted: int | None
) -> tuple[MerkleTree, Head, bytes | None]:
    path = folder / CHECKPOINT
    try:
        head = Verifier(public_key).open(path.read_bytes(), path)
    except OSError as error:
        raise AuditError(f"{path}: cannot be read: {error.strerror}") from error
    tree = MerkleTree()
    found: bytes | None = None
    for line in read_lines(folder):
        if tree.append(line.data) == wanted:
            found = line.data
    if tree.size < head.size or tree.root(head.size) != head.root:
        raise AuditError(
            f"{folder}: the records are not what was signed; run `edgewright fleet audit verify`"
        )
    return tree, head, found


def _encode(hashed: bytes) -> str:
    return base64.b64encode(hashed).decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise TrustError(f"{text[:60]!r} is no base64") from error
