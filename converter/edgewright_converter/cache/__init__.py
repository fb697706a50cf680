"""What conversions made before, by the digests of all that it was made from."""

from edgewright_converter.cache.key import Key, environment_key
from edgewright_converter.cache.store import DEFAULT_BOUND_BYTES, CacheFacts, Store

__all__ = ["DEFAULT_BOUND_BYTES", "CacheFacts", "Key", "Store", "environment_key"]
