"""Where models are opened and freed: a thread that stands back behind those that answer."""

import asyncio
import contextlib
import ctypes
import functools
import gc
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")

NICE = 5
"""Added to the loading thread's: a quarter of a busy core's time, all of an idle one's."""


class Loader:
    """Two threads: one of low priority, and one for engines that start threads as they load.

    A thread takes on the priority of the one that starts it and may not raise it again, so an
    engine with threads of its own would stay slow if it were opened by the first.
    """

    def __init__(self) -> None:
        self._polite = ThreadPoolExecutor(1, thread_name_prefix="loader", initializer=stand_back)
        self._plain = ThreadPoolExecutor(1, thread_name_prefix="opener")

    async def run(self, work: Callable[[], _T], *, starts_threads: bool = False) -> _T:
        """What `work` gives; it may take long."""
        pool = self._plain if starts_threads else self._polite
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    def close(self) -> None:
        """Take no more work."""
        self._polite.shutdown(wait=False)
        self._plain.shutdown(wait=False)


def give_back_memory() -> None:
    """After something large was freed: what lies in cycles too, and what malloc has kept."""
    gc.collect()
    trim = _malloc_trim()
    if trim is not None:
        # glibc keeps freed arenas: 440 MB after ten swaps of a 64 MB model without this.
        trim(0)


def settle() -> None:
    """Exempt what lives as long as the process from garbage collection; once, when it serves.

    A full collection holds every thread: 40 to 60 ms with all modules in it, 1 ms without.
    """
    gc.collect()
    gc.freeze()


def stand_back() -> None:
    """Lower this thread's priority, for good."""
    if sys.platform.startswith("linux"):
        # On Linux a priority is a thread's (man 2 setpriority, C library/kernel differences).
        with contextlib.suppress(OSError):
            thread = threading.get_native_id()
            nice = os.getpriority(os.PRIO_PROCESS, thread) + NICE
            os.setpriority(os.PRIO_PROCESS, thread, min(nice, 19))


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
