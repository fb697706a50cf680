"""Run a program so that the kernel ends it when its parent dies, kill -9 included (Linux).

Called as a script: PARENT_PID PROGRAM ARGUMENT... . It asks the kernel for the signal,
then becomes the program; the request survives exec.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> None:
    """Become `arguments[1:]`, unless the parent `arguments[0]` is gone already."""
    parent = int(arguments[0])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
    os.execv(arguments[1], arguments[1:])  # noqa: S606 - becoming the program is the purpose


if __name__ == "__main__":
    main(sys.argv[1:])
