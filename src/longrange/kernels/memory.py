"""Memory of CPU training: keep what was freed for the next step instead of handing it back to the system."""

import ctypes
import sys

# Parameters of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> bool:
    """Make this process's allocator reuse large blocks.

    By default glibc maps every large tensor anew and unmaps it when freed, so that each step pays for fresh pages,
    zeroed by the kernel. The peak stays what it was; memory goes back when the process
    ends. Other C libraries are left alone.

    Returns:
        Whether the allocator took the settings.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    in_bytes = {_M_MMAP_THRESHOLD: 2**30, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 2**26}
    taken = [mallopt(parameter, value) for parameter, value in in_bytes.items()]
    return min(taken) == 1
