"""The most memory that something took: allocated on a GPU, resident on a CPU."""

import gc
from contextlib import suppress
from pathlib import Path

import torch

from longrange.kernels.memory import return_freed_memory
from longrange.peers.alone.protocol import resident_peak


def reset_peak(device: torch.device) -> None:
    """Let the peak be counted from now on, where the system can do that: on GPUs, and on Linux.

    What a process keeps of freed memory is handed back first: in a sweep it is the job's before. Elsewhere the peak
    remains that of the process so far.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    return_freed_memory()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_bytes(device: torch.device) -> int:
    """Peak since the last `reset_peak`, or of this process so far; what its parent held is not in it on Linux."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else resident_peak()
