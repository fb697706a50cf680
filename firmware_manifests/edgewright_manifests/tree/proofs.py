"""Verify inclusion and consistency proofs (RFC 9162, sections 2.1.3.2 and 2.1.4.2)."""

from collections.abc import Sequence

from edgewright_manifests.errors import TrustError
from edgewright_manifests.tree.merkle import HASH_BYTES, node_hash


def verify_inclusion(
    index: int, size: int, hashed: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that the record with leaf hash `hashed` is number `index` of the tree `root`.

    Raises TrustError when the proof does not show it.
    """
    wrong = TrustError(f"log: the proof does not show that record {index} is among {size}")
    _check_hashes(hashed, root, *proof)
    if not 0 <= index < size:
        raise wrong
    node, last, result = index, size - 1, hashed
    for sibling in proof:
        if last == 0:
            raise wrong
        if node & 1 or node == last:
            result = node_hash(sibling, result)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            result = node_hash(result, sibling)
        node >>= 1
        last >>= 1
    if last != 0 or result != root:
        raise wrong


def verify_consistency(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree `new_root` begins with the whole tree `old_root`.

    A size of 0 is refused, as transparency-dev/merkle does: a proof about nothing would
    let a forged log pass as the successor of an empty one. Raises TrustError.
    """
    wrong = TrustError(
        f"log: the proof does not show that {new_size} records begin with the {old_size} known "
        "ones; records were changed, removed or reordered"
    )
    if not 1 <= old_size <= new_size:
        raise wrong
    if old_size == new_size:
        if proof or old_root != new_root:
            raise wrong
        return
    _check_hashes(old_root, new_root, *proof)
    if old_size & (old_size - 1) == 0:
        proof = [old_root, *proof]  # the old tree is a complete subtree: its root is implied
    if not proof:
        raise wrong
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node >>= 1
        last >>= 1
    old = new = proof[0]
    for sibling in proof[1:]:
        if last == 0:
            raise wrong
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        node >>= 1
        last >>= 1
    if last != 0 or old != old_root or new != new_root:
        raise wrong


def _check_hashes(*hashes: bytes) -> None:
    for hashed in hashes:
        if len(hashed) != HASH_BYTES:
            raise TrustError(
                f"log: the proof has a hash of {len(hashed)} bytes, expected {HASH_BYTES}"
            )
