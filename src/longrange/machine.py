"""What this program runs on."""

import platform
from pathlib import Path

import torch


def cpu_model() -> str:
    """The processor's name, as the system gives it, and the widest vectors that torch uses on it.

    Clouds call processors of several generations by one name, and may withhold instructions: "AMD EPYC, AVX2".
    """
    return f"{_name()}, {torch.backends.cpu.get_cpu_capability()}"


def _name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
