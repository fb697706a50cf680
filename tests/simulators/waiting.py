"""Waiting for what other processes do: polled, with a deadline and a name."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(look: Callable[[], T | bool | None], limit_s: float, what: str) -> T:
    """What `look` gives as soon as it gives something true. Fails the test after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while True:
        found = look()
        if found:
            return found  # type: ignore[return-value]  # only a true T, or True for a bool look
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit_s:g} s: {what}")
        time.sleep(0.02)
