"""One GPU for each of the jobs that run side by side on a machine."""

import functools
import itertools
import os
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

_KEPT: list[FileLock] = []  # until the process ends


@functools.cache
def own_gpu() -> str:
    """What CUDA_VISIBLE_DEVICES should be for this process: one of the GPUs it sees, none where there are none.

    The process has it alone as long as there are no more such processes of this user than GPUs; it keeps it until it
    ends, whatever ends it.
    """
    gpus = visible()
    if not gpus:
        return ""
    folder = Path(tempfile.gettempdir(), f"longrange-gpus-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    return gpus[_take_place(folder) % len(gpus)]


def visible() -> list[str]:
    """The GPUs that this process sees, as CUDA_VISIBLE_DEVICES names them."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [gpu for gpu in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if gpu]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _take_place(folder: Path) -> int:
    """The first number that no living process has taken, from 0 on."""
    for place in itertools.count():
        lock = FileLock(folder / f"{place}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        _KEPT.append(lock)
        return place
