"""A client's memfd as memory of this process that cannot be taken away from under it."""

import fcntl
import mmap
import os

from edgewright_runtime.errors import LocalFault, one_line
from edgewright_runtime.local_protocol import MAX_REGION_BYTES, STATUS_BYTES

# linux/fcntl.h; the module has these names on Linux only.
_F_GET_SEALS = 1034
_F_SEAL_SHRINK = 0x2
_F_SEAL_GROW = 0x4


def map_region(descriptor: int) -> mmap.mmap:
    """The memory behind a client's descriptor, which the caller may close afterwards.

    Raises LocalFault unless it is a memfd of ordinary pages, sealed so that its size stays:
    touching a page that was cut off would end this process with SIGBUS.
    """
    try:
        seals = fcntl.fcntl(descriptor, _F_GET_SEALS)
    except OSError as error:
        raise LocalFault("the slot's descriptor is no memfd that can be sealed") from error
    if not seals & _F_SEAL_SHRINK or not seals & _F_SEAL_GROW:
        raise LocalFault("the slot's memfd is not sealed; add F_SEAL_SHRINK and F_SEAL_GROW")
    # Huge pages are taken from a pool that may be empty at the first touch.
    if os.fstatvfs(descriptor).f_bsize != mmap.PAGESIZE:
        raise LocalFault("the slot's memfd has huge pages; make it without MFD_HUGETLB")
    size = os.fstat(descriptor).st_size
    if not STATUS_BYTES <= size <= MAX_REGION_BYTES:
        raise LocalFault(
            f"the slot's memfd has {size} bytes; {STATUS_BYTES} to {MAX_REGION_BYTES} are allowed"
        )
    try:
        return mmap.mmap(descriptor, size)
    except (OSError, ValueError) as error:
        raise LocalFault(f"the slot's memfd cannot be mapped: {one_line(error)}") from error
