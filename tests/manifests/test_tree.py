"""Against an independent tree: plain recursion over RFC 6962's definitions, nothing shared."""

import hashlib

import pytest
from edgewright_manifests.errors import TrustError
from edgewright_manifests.tree import (
    EMPTY_ROOT,
    MerkleTree,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from hypothesis import given, settings
from hypothesis import strategies as st

RECORDS = [bytes([n]) * n for n in range(40)]


def _sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _mth(records: list[bytes]) -> bytes:
    """RFC 6962, 2.1: MTH(D[n])."""
    if len(records) < 2:
        return _sha(b"\0" + records[0]) if records else _sha(b"")
    k = 1
    while k * 2 < len(records):
        k *= 2
    return _sha(b"\1" + _mth(records[:k]) + _mth(records[k:]))


def _path(m: int, records: list[bytes]) -> list[bytes]:
    """RFC 6962, 2.1.1: PATH(m, D[n])."""
    if len(records) == 1:
        return []
    k = 1
    while k * 2 < len(records):
        k *= 2
    if m < k:
        return [*_path(m, records[:k]), _mth(records[k:])]
    return [*_path(m - k, records[k:]), _mth(records[:k])]


def _subproof(m: int, records: list[bytes], whole: bool) -> list[bytes]:
    """RFC 6962, 2.1.2: SUBPROOF(m, D[n], b)."""
    if m == len(records):
        return [] if whole else [_mth(records)]
    k = 1
    while k * 2 < len(records):
        k *= 2
    if m <= k:
        return [*_subproof(m, records[:k], whole), _mth(records[k:])]
    return [*_subproof(m - k, records[k:], False), _mth(records[:k])]


def _tree(size: int) -> MerkleTree:
    return MerkleTree(leaf_hash(record) for record in RECORDS[:size])


def test_the_empty_and_the_first_roots_are_known() -> None:
    # RFC 6962's own example values, also in certificate-transparency's tests.
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    one = MerkleTree()
    one.append(b"")
    assert one.root().hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


@pytest.mark.parametrize("size", range(41))
def test_every_root_is_the_one_of_the_definition(size: int) -> None:
    assert _tree(size).root() == _mth(RECORDS[:size])
    assert _tree(40).root(size) == _mth(RECORDS[:size])


def test_every_inclusion_proof_is_the_defined_one_and_verifies() -> None:
    tree = _tree(40)
    for size in range(1, 41):
        for index in range(size):
            proof = tree.inclusion_proof(index, size)
            assert proof == _path(index, RECORDS[:size])
            verify_inclusion(index, size, leaf_hash(RECORDS[index]), proof, tree.root(size))


def test_every_consistency_proof_is_the_defined_one_and_verifies() -> None:
    tree = _tree(40)
    for new in range(1, 41):
        for old in range(1, new + 1):
            proof = tree.consistency_proof(old, new)
            assert proof == _subproof(old, RECORDS[:new], True)
            verify_consistency(old, new, tree.root(old), tree.root(new), proof)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_changed_inclusion_proof_never_verifies(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 40))
    index = data.draw(st.integers(0, size - 1))
    tree = _tree(size)
    proof = tree.inclusion_proof(index)
    arguments = data.draw(
        st.sampled_from(
            [
                (index + 1, size, leaf_hash(RECORDS[index]), proof, tree.root()),
                (index - 1, size, leaf_hash(RECORDS[index]), proof, tree.root()),
                (index, size, leaf_hash(b"other"), proof, tree.root()),
                (index, size, leaf_hash(RECORDS[index]), [*proof, EMPTY_ROOT], tree.root()),
                (index, size, leaf_hash(RECORDS[index]), [EMPTY_ROOT, *proof], tree.root()),
                (index, size, leaf_hash(RECORDS[index]), proof, EMPTY_ROOT),
                (index, 0, leaf_hash(RECORDS[index]), proof, tree.root()),
                (size, size, leaf_hash(RECORDS[index]), proof, tree.root()),
                (index, size, b"short", proof, tree.root()),
            ]
            + [
                (index, size, leaf_hash(RECORDS[index]), proof[:n] + proof[n + 1 :], tree.root())
                for n in range(len(proof))
            ]
        )
    )
    with pytest.raises(TrustError):
        verify_inclusion(*arguments)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_changed_log_never_has_a_consistency_proof(data: st.DataObject) -> None:
    """A record changed, removed or swapped before the old size cannot be hidden."""
    new = data.draw(st.integers(2, 40))
    old = data.draw(st.integers(1, new - 1))
    known = _tree(old).root()
    forged = list(RECORDS[:new])
    victim = data.draw(st.integers(0, old - 1))
    match data.draw(st.sampled_from(["change", "remove", "swap"])):
        case "change":
            forged[victim] = b"forged"
        case "remove":
            del forged[victim]
        case _:
            forged[victim], forged[victim + 1] = forged[victim + 1], forged[victim]
    if victim + 1 == old == len(forged):
        return  # nothing of the forged log is new: there is nothing to prove
    tree = MerkleTree(leaf_hash(record) for record in forged)
    with pytest.raises(TrustError, match="changed, removed or reordered"):
        verify_consistency(
            min(old, tree.size),
            tree.size,
            known,
            tree.root(),
            tree.consistency_proof(min(old, tree.size)),
        )


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (0, 5, []),  # the reference's `size1-is-zero`: an empty log proves nothing
        (0, 0, []),
        (0, 5, [EMPTY_ROOT]),
        (-1, 5, []),
        (6, 5, []),
        (5, 5, [EMPTY_ROOT]),
        (3, 5, []),
        (4, 5, []),
        (4, 5, [b"short"]),
    ],
)
def test_impossible_consistency_proofs_are_refused(old: int, new: int, proof: list[bytes]) -> None:
    with pytest.raises(TrustError):
        verify_consistency(old, new, _tree(5).root(), _tree(5).root(), proof)
    with pytest.raises(TrustError):
        verify_consistency(old, new, EMPTY_ROOT, _tree(5).root(), proof)


def test_the_tree_gives_no_proof_of_what_it_does_not_have() -> None:
    tree = _tree(5)
    for call in (
        lambda: tree.inclusion_proof(5),
        lambda: tree.inclusion_proof(-1),
        lambda: tree.inclusion_proof(0, 6),
        lambda: tree.consistency_proof(0),
        lambda: tree.consistency_proof(3, 2),
        lambda: tree.root(6),
        lambda: tree.append_hash(b"short"),
    ):
        with pytest.raises(TrustError, match="log: "):
            call()
