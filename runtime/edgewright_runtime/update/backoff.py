"""Full-jitter exponential backoff, so that a fleet does not come back all at once.

https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

import random
from collections.abc import Callable


class Backoff:
    """Waits of 0 to first_s, 0 to 2 first_s, ... 0 to at most cap_s."""

    def __init__(
        self,
        *,
        first_s: float = 1.0,
        cap_s: float = 60.0,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._uniform = uniform
        self.tries = 0

    def next_s(self) -> float:
        """Count one more try; gives the seconds to wait before it."""
        ceiling = min(self._cap_s, self._first_s * 2 ** min(self.tries, 30))
        self.tries += 1
        return self._uniform(0.0, ceiling)

    def reset(self) -> None:
        """Something worked."""
        self.tries = 0
