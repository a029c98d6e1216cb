"""The most memory that something took: allocated on a GPU, resident on a CPU."""

from contextlib import suppress
from pathlib import Path

import torch

from longrange.training.peers.alone.protocol import resident_peak


def reset_peak(device: torch.device) -> None:
    """Let the peak be counted from now on, where the system can do that: on GPUs, and on Linux.

    Elsewhere it remains that of the process so far, in a sweep that of the largest job so far.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_bytes(device: torch.device) -> int:
    """Peak since the last `reset_peak`, or of this process so far; what its parent held is not in it on Linux."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else resident_peak()
