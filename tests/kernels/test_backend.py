"""The one setting of all kernels."""

import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from longrange.errors import ConfigError
from longrange.kernels import backend, gelu
from tests.backends import running

CPU, CUDA = torch.device("cpu"), torch.device("cuda")

WITHOUT_TRITON = """
import sys
sys.modules["triton"] = None  # an import of it fails
import torch
from longrange.layers import S5
S5(4, 4)(torch.zeros(1, 3, 4))
"""


@pytest.fixture
def installed(monkeypatch):
    """Call with whether Triton is to look installed."""
    return lambda answer: monkeypatch.setattr(backend, "_has_triton", lambda: answer)


@pytest.mark.parametrize(("triton", "on_cuda"), [(True, "triton"), (False, "reference")])
def test_choice_by_device(installed, triton, on_cuda):
    installed(triton)
    assert (backend.resolve(CPU), backend.resolve(CUDA)) == ("cpu", on_cuda)
    with running("reference"):
        assert (backend.resolve(CPU), backend.resolve(CUDA)) == ("reference", "reference")
    with running("cpu"), pytest.raises(ConfigError, match="use backend=auto"):
        backend.resolve(CUDA)


def test_triton_runs_on_cuda_and_interpreted_on_the_cpu(installed, monkeypatch):
    installed(True)
    with running("triton"):
        assert backend.resolve(CUDA) == "triton"
        monkeypatch.setenv("TRITON_INTERPRET", "1")
        assert backend.resolve(CPU) == "triton"
        monkeypatch.delenv("TRITON_INTERPRET")
        with pytest.raises(ConfigError, match="the tensors are on cpu; use backend=auto"):
            backend.resolve(CPU)
        installed(False)
        with pytest.raises(ConfigError, match="Triton is missing"):
            backend.resolve(CUDA)


def test_layers_work_where_triton_is_not_installed():
    subprocess.run([sys.executable, "-c", WITHOUT_TRITON], check=True)


def test_an_unknown_backend_is_named_and_changes_nothing():
    with pytest.raises(ConfigError, match="backend=gpu: unknown"):
        backend.select("gpu")
    assert backend.resolve(CPU) == "cpu"


def test_the_setting_reaches_pointwise_work():
    x = torch.linspace(-3, 3, 1000)
    with running("reference"):
        assert torch.equal(gelu(x), F.gelu(x, approximate="tanh"))
    assert not torch.equal(gelu(x), F.gelu(x, approximate="tanh"))
