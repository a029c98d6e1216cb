"""The one setting of all kernels."""

import pytest
import torch
from torch.nn import functional as F

from longrange.errors import ConfigError
from longrange.kernels import backend, gelu
from tests.backends import running

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_choice_by_device():
    assert (backend.resolve(CPU), backend.resolve(CUDA)) == ("cpu", "reference")
    with running("reference"):
        assert (backend.resolve(CPU), backend.resolve(CUDA)) == ("reference", "reference")
    with running("cpu"), pytest.raises(ConfigError, match="use backend=auto"):
        backend.resolve(CUDA)


def test_an_unknown_backend_is_named_and_changes_nothing():
    with pytest.raises(ConfigError, match="backend=gpu: unknown"):
        backend.select("gpu")
    assert backend.resolve(CPU) == "cpu"


def test_the_setting_reaches_pointwise_work():
    x = torch.linspace(-3, 3, 1000)
    with running("reference"):
        assert torch.equal(gelu(x), F.gelu(x, approximate="tanh"))
    assert not torch.equal(gelu(x), F.gelu(x, approximate="tanh"))
