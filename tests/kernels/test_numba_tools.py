"""Threads: Numba follows torch, and leaves torch's number alone."""

import subprocess
import sys

PROBE = """
import numba, torch
torch.set_num_threads(1)
from longrange.kernels import gelu
gelu(torch.zeros(100_000))
print(torch.get_num_threads(), numba.get_num_threads())
"""


def test_one_torch_thread_means_one_thread():
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, check=True, text=True)
    assert done.stdout.split() == ["1", "1"]
