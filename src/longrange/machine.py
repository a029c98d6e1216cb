"""What this program runs on."""

import platform
from pathlib import Path

import torch


def cpu_model() -> str:
    """The processor's name and family, as the system gives them, and the widest vectors that torch uses on it.

    Clouds call several generations by one name, and may withhold instructions: "AMD EPYC family 25, AVX2".
    """
    return f"{_name()}, {torch.backends.cpu.get_cpu_capability()}"


def _name() -> str:
    name, family = _told("model name"), _told("cpu family")
    return (f"{name} family {family}" if family else name) or platform.processor() or platform.machine()


def _told(key: str) -> str:
    """What Linux says about the first core; nothing where it says nothing."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")
