"""The tamper-evident log's mathematics: RFC 6962 trees, their proofs, signed checkpoints."""

from edgewright_manifests.tree.checkpoint import (
    Checkpoint,
    open_checkpoint,
    parse_verifier_key,
    sign_checkpoint,
    verifier_key,
)
from edgewright_manifests.tree.merkle import EMPTY_ROOT, MerkleTree, leaf_hash, node_hash
from edgewright_manifests.tree.proofs import verify_consistency, verify_inclusion

__all__ = [
    "EMPTY_ROOT",
    "Checkpoint",
    "MerkleTree",
    "leaf_hash",
    "node_hash",
    "open_checkpoint",
    "parse_verifier_key",
    "sign_checkpoint",
    "verifier_key",
    "verify_consistency",
    "verify_inclusion",
]
