"""Threads: Numba follows torch, and leaves torch's number alone. Its cache: nothing outdated is run. bfloat16."""

import os
import subprocess
import sys
import time

import torch

from longrange.kernels.numba_tools import arrays, narrowed, sequential, wide

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


OUTER = """
import numba
from pathlib import Path
from inner import inner
from longrange.kernels.numba_tools import forget_outdated

@numba.njit(cache=True)
def outer():
    return inner()

forget_outdated(Path(__file__).parent, Path(outer.stats.cache_path))
print(outer(), sum(outer.stats.cache_hits.values()))
"""


def test_a_change_of_what_is_compiled_into_a_function_is_noticed(tmp_path):
    """Times in the past, as a checkout or an installation may bring them, and as the test's own would be too close."""
    (tmp_path / "outer.py").write_text(OUTER)
    inner = tmp_path / "inner.py"
    answers = []
    for value, age in ((1, 100), (1, 100), (2, -1)):
        inner.write_text(f"import numba\n@numba.njit\ndef inner():\n    return {value}\n")
        os.utime(inner, times=(time.time() - age,) * 2)
        command = [sys.executable, "-c", "import outer"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, text=True)
        answers.append(done.stdout.split())
    assert answers == [["1", "0"], ["1", "1"], ["2", "0"]]


@sequential
def _copy(source, out):
    for k in range(len(out)):
        out[k] = narrowed(out, wide(source[k]))


def test_bfloat16_is_read_and_written_as_torch_does():
    bits = torch.randint(-(2**31), 2**31, (10_000,), generator=torch.Generator().manual_seed(0)).to(torch.int32)
    halfway = torch.arange(-(2**15), 2**15, dtype=torch.int32) * 2**16 + 2**15
    special = torch.tensor([float("inf"), float("-inf"), float("nan"), 0.0, -0.0, 3.4e38]).view(torch.int32)
    all_ones = torch.tensor([2**31 - 1, -1]).int()  # NaN that rounding up would carry over into the sign
    x = torch.cat([bits, halfway, halfway - 1, halfway + 1, special, all_ones]).view(torch.float32)
    low, again = torch.empty_like(x, dtype=torch.bfloat16), torch.empty_like(x)
    _copy(*arrays(x, low))
    torch.testing.assert_close(low, x.bfloat16(), rtol=0, atol=0, equal_nan=True)
    _copy(*arrays(low, again))
    torch.testing.assert_close(again, low.float(), rtol=0, atol=0, equal_nan=True)
