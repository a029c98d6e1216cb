"""Threads: Numba follows torch, and leaves torch's number alone. Its cache: nothing outdated is run."""

import os
import subprocess
import sys
import time

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
