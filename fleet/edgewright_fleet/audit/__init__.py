"""The tamper-evident record of every operation: a Merkle tree (RFC 6962) with signed heads."""
