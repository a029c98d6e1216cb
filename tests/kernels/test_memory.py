"""The allocator keeps what it was given back, up to a bound."""

import subprocess
import sys

import pytest

from longrange.kernels import memory

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


RETURNING = """
import torch
from longrange.kernels.memory import FreedMemory, held_memory, keep_freed_memory
keep_freed_memory()
freed, tensor = FreedMemory(), torch.ones(2**20)
freed.after_step()
many = [torch.ones(2**20) for _ in range(200 + held_memory() // 2**22)]  # libraries for a GPU hold a lot themselves
del many
before = held_memory()
freed.after_step()
print(before - held_memory())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a function of glibc")
def test_too_much_that_is_free_is_handed_back():
    done = subprocess.run([sys.executable, "-c", RETURNING], capture_output=True, check=True)
    assert int(done.stdout) > 150 * 4 * 2**20


def test_memory_is_handed_back_where_twice_of_what_a_step_needs_is_held(monkeypatch):
    held, returns = iter([100, 150, 201, 80, 199, 200, 201, 120, 240, 241, 0]), []
    monkeypatch.setattr(memory, "held_memory", lambda: next(held))
    monkeypatch.setattr(memory, "_of_glibc", lambda name: lambda size: returns.append(name))
    freed, counts = memory.FreedMemory(), []
    for _ in range(10):
        freed.after_step()
        counts.append(len(returns))
    assert counts == [0, 0, 1, 1, 1, 1, 2, 2, 2, 3]
