"""Memory of CPU training: keep what was freed for the next step instead of handing it back to the system."""

import ctypes
import resource
import sys
from pathlib import Path

# Parameters of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MOST = 2  # what may be held, as a multiple of what a step has needed at most


def keep_freed_memory() -> bool:
    """Make this process's allocator reuse large blocks.

    By default glibc maps every large tensor anew and unmaps it when freed, so that each step pays for fresh pages,
    zeroed by the kernel. Memory goes back when the process ends, or when `FreedMemory` hands it back. Other C libraries
    are left alone.

    Returns:
        Whether the allocator took the settings.
    """
    if (mallopt := _of_glibc("mallopt")) is None:
        return False
    in_bytes = {_M_MMAP_THRESHOLD: 2**30, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 2**26}
    taken = [mallopt(parameter, value) for parameter, value in in_bytes.items()]
    return min(taken) == 1


def return_freed_memory() -> bool:
    """Hand all that was freed back to the system.

    Returns:
        Whether the C library is one that can.
    """
    if (trim := _of_glibc("malloc_trim")) is None:
        return False
    trim(0)
    return True


class FreedMemory:
    """Hands freed memory back to the system when it has become too much.

    Steps whose sequences differ in length leave holes of many sizes, and the next step finds few that suit: what the
    process holds would grow from step to step to several times of what any step needs.
    """

    def __init__(self) -> None:
        self._needed = 0  # bytes: the most that the process held after a first step, or the first one after a return
        self._fresh = True

    def after_step(self) -> None:
        """To be called when a step has ended; the step after a return takes longer."""
        held = held_memory()
        if self._fresh:
            self._needed, self._fresh = max(self._needed, held), False
        elif held > _MOST * self._needed:
            self._fresh = return_freed_memory()


def held_memory() -> int:
    """Resident memory of this process, bytes; 0 where the system does not tell."""
    statistics = Path("/proc/self/statm")
    return int(statistics.read_text().split()[1]) * resource.getpagesize() if statistics.exists() else 0


def _of_glibc(name: str):
    """A function of the C library, if it has it."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
