"""Peak memory is that of what was measured: not of what ran before it, nor of the process that started it."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from longrange.training.peak_memory import peak_memory_bytes, reset_peak

CPU = torch.device("cpu")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the system counts the peak of a process as a whole")


def held(size):
    np.ones(size, np.uint8)


def test_it_is_in_bytes():
    """Of kilobytes there would be too few, of kilobytes taken twice too many for the machine."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 50e6 < peak_memory_bytes(CPU) < machine


@LINUX
def test_what_was_held_before_does_not_count():
    held(2**30)
    before = peak_memory_bytes(CPU)
    reset_peak(CPU)
    after = peak_memory_bytes(CPU)
    assert after < before - 2**29
    held(2**30)
    assert peak_memory_bytes(CPU) > after + 2**29


@LINUX
def test_neither_what_the_parent_held_counts_nor_what_is_kept_of_freed_memory():
    """In a process that keeps it, as trainings do."""
    large = np.ones(2**30, np.uint8)
    program = """
import numpy as np, torch
from longrange.kernels.memory import keep_freed_memory
from longrange.training.peak_memory import peak_memory_bytes, reset_peak
cpu = torch.device("cpu")
begun = peak_memory_bytes(cpu)
keep_freed_memory()
np.ones(2**29, np.uint8)
before = peak_memory_bytes(cpu)
reset_peak(cpu)
print(begun, before - peak_memory_bytes(cpu))
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    begun, handed_back = map(int, told.split())
    assert begun < large.nbytes
    assert handed_back > 2**28
