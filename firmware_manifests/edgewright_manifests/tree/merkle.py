"""An append-only Merkle tree (RFC 6962, section 2.1), SHA-256."""

import hashlib
from collections.abc import Iterable

from edgewright_manifests.errors import TrustError

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()


def leaf_hash(record: bytes) -> bytes:
    """The hash of one record: SHA-256(0x00 || record)."""
    return hashlib.sha256(b"\0" + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\1" + left + right).digest()


class MerkleTree:
    """Grows by appending; gives the root of, and proofs for, every size that it ever had.

    It keeps each complete subtree's hash (two hashes of 32 bytes for each record), so an
    append costs O(1) amortised and a root or proof O(log n).
    """

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        # _levels[k][i] is the hash of the complete subtree over leaves [i * 2^k, (i+1) * 2^k).
        self._levels: list[list[bytes]] = [[]]
        for hashed in leaf_hashes:
            self.append_hash(hashed)

    @property
    def size(self) -> int:
        """How many records there are."""
        return len(self._levels[0])

    def append(self, record: bytes) -> int:
        """Add a record; gives its index."""
        return self.append_hash(leaf_hash(record))

    def append_hash(self, hashed: bytes) -> int:
        """Add a record by its leaf hash (32 bytes); gives its index."""
        if len(hashed) != HASH_BYTES:
            raise TrustError(f"log: a leaf hash has {len(hashed)} bytes, expected {HASH_BYTES}")
        index = self.size
        self._levels[0].append(hashed)
        level = 0
        while len(self._levels[level]) % 2 == 0:
            if level + 1 == len(self._levels):
                self._levels.append([])
            left, right = self._levels[level][-2:]
            self._levels[level + 1].append(node_hash(left, right))
            level += 1
        return index

    def root(self, size: int | None = None) -> bytes:
        """The root over the first `size` records (None: all). Raises TrustError: not so many."""
        size = self.size if size is None else size
        self._check_size(size)
        return self._subtree(0, size) if size else EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """The audit path of record `index` in the tree of `size` (RFC 6962, 2.1.1).

        Raises TrustError when there is no such record.
        """
        size = self.size if size is None else size
        self._check_size(size)
        if not 0 <= index < size:
            raise TrustError(f"log: there is no record {index} among {size}")
        return self._path(index, 0, size)

    def consistency_proof(self, old_size: int, new_size: int | None = None) -> list[bytes]:
        """The proof that the first `new_size` records begin with the first `old_size` (2.1.2).

        Raises TrustError unless 1 <= old_size <= new_size <= size: that a tree grew out of
        nothing needs no proof, and verifiers accept none.
        """
        new_size = self.size if new_size is None else new_size
        self._check_size(new_size)
        if not 1 <= old_size <= new_size:
            raise TrustError(f"log: there is no proof from size {old_size} to {new_size}")
        return self._subproof(old_size, 0, new_size, whole=True)

    def _check_size(self, size: int) -> None:
        if not 0 <= size <= self.size:
            raise TrustError(f"log: it has {self.size} records, not {size}")

    def _subtree(self, start: int, end: int) -> bytes:
        """MTH over leaves [start, end); `start` is a multiple of the power of two above."""
        width = end - start
        level = width.bit_length() - 1
        if width == 1 << level:
            return self._levels[level][start >> level]
        split = start + _split(width)
        return node_hash(self._subtree(start, split), self._subtree(split, end))

    def _path(self, index: int, start: int, end: int) -> list[bytes]:
        if end - start == 1:
            return []
        split = start + _split(end - start)
        if index < split:
            return [*self._path(index, start, split), self._subtree(split, end)]
        return [*self._path(index, split, end), self._subtree(start, split)]

    def _subproof(self, old: int, start: int, end: int, *, whole: bool) -> list[bytes]:
        """SUBPROOF of RFC 6962, 2.1.2; `old` counts from `start`."""
        width = end - start
        if old == width:
            return [] if whole else [self._subtree(start, end)]
        half = _split(width)
        split = start + half
        if old <= half:
            return [
                *self._subproof(old, start, split, whole=whole),
                self._subtree(split, end),
            ]
        return [
            *self._subproof(old - half, split, end, whole=False),
            self._subtree(start, split),
        ]


def _split(width: int) -> int:
    """The largest power of two smaller than `width` (at least 2)."""
    return 1 << ((width - 1).bit_length() - 1)
