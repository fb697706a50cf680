"""Two releases at once: a key decides which of them answers, always the same for the same key."""

import hashlib
from dataclasses import dataclass

from edgewright_runtime.serving.generation import LoadedGeneration

_STEPS = 1 << 32


@dataclass(frozen=True, slots=True)
class Split:
    """`share` (0..1) of the keys go to `generation`, the rest and those without a key do not."""

    generation: LoadedGeneration
    share: float

    def takes(self, model: str, key: str) -> bool:
        """Whether the second release answers for this key.

        The model's name is hashed too: the keys that see the new release of one model are not
        those that see the new release of every other.
        """
        digest = hashlib.blake2b(f"{model}\0{key}".encode(errors="replace"), digest_size=4)
        return int.from_bytes(digest.digest(), "big") < self.share * _STEPS
