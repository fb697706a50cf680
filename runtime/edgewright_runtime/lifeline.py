"""Ties a process's life to its parent's, so that a killed parent leaves nothing behind."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when process `parent` ends; exit if it already has.

    Linux only; elsewhere it does nothing, and a parent that is killed leaves its children.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        # It died between fork and prctl.
        os._exit(1)
