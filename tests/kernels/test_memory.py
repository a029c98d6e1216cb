"""The allocator keeps what it was given back."""

import subprocess
import sys

import pytest

PROBE = """
import resource, sys, torch
from longrange.kernels.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(3):
    torch.ones(2**25)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(2**25)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc's allocator")
def test_large_tensors_reuse_their_pages():
    faults = {
        mode: int(subprocess.run([sys.executable, "-c", PROBE, mode], capture_output=True, check=True).stdout)
        for mode in ("keep", "default")
    }
    assert faults["keep"] < 0.5 * faults["default"]
