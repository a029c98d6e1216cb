"""Tensors that do not fit each other are refused by every version alike: compiled loops know no ends."""

import pytest
import torch

from longrange.kernels import (
    add_scaled,
    batch_norm,
    cauchy,
    causal_convolution,
    diagonal_scan,
    diagonal_system,
    feature_scan,
    gated,
    gelu,
    glu,
    mimo_scan,
    scaled_fork,
    truncated_system,
    two_sided_convolution,
    vandermonde,
)
from tests.backends import running


def sizes(*shape):
    return torch.zeros(shape)


WRONG = {
    "convolution": lambda: causal_convolution(sizes(2, 5, 32), sizes(1, 16, 5)),
    "convolution of nothing": lambda: causal_convolution(sizes(2, 0, 4), sizes(1, 4, 5)),
    "weights of the current input": lambda: causal_convolution(sizes(2, 5, 4), sizes(1, 4, 5), sizes(2, 4)),
    "two sides": lambda: two_sided_convolution(sizes(2, 5, 4), sizes(1, 4, 5), sizes(2, 4, 5)),
    "vandermonde": lambda: vandermonde(sizes(1, 2, 4, 3), sizes(2, 2, 3), 5),
    "cauchy": lambda: cauchy(sizes(1, 2, 4, 3), sizes(2, 4, 2), sizes(5)),
    "scan": lambda: diagonal_scan(sizes(2, 3), sizes(1, 5, 2, 4)),
    "states of another batch": lambda: diagonal_scan(sizes(2, 3), sizes(3, 5, 2, 3), sizes(1, 1, 2, 3)),
    "states of one direction": lambda: diagonal_scan(
        sizes(2, 3), sizes(1, 5, 2, 3), sizes(1, 1, 2, 3), bidirectional=True
    ),
    "features": lambda: feature_scan(sizes(3, 2, 2), sizes(3, 2), sizes(1, 3, 2), sizes(1, 3), sizes(1, 5, 4)),
    "channels": lambda: feature_scan(sizes(3, 2, 2), sizes(3, 2), sizes(1, 3, 2), sizes(2, 3), sizes(1, 5, 3)),
    "one kernel": lambda: mimo_scan(sizes(2, 8), sizes(16, 16), sizes(16, 16), sizes(16), sizes(1, 5, 32)),
    "its directions": lambda: mimo_scan(
        sizes(2, 8), sizes(16, 16), sizes(16, 16), sizes(16), sizes(1, 5, 16), bidirectional=True
    ),
    "dense system": lambda: truncated_system(sizes(3, 2, 2).double(), sizes(3, 2), sizes(1, 3, 4), sizes(3), 8),
    "time steps": lambda: truncated_system(sizes(3, 2, 2).double(), sizes(3, 2), sizes(1, 3, 2), sizes(2), 8),
    "batch norm": lambda: batch_norm(sizes(2, 5, 4), torch.tensor([5, 5]), sizes(3), sizes(3), 1e-5),
    "its lengths": lambda: batch_norm(sizes(2, 5, 4), torch.tensor([5]), sizes(4), sizes(4), 1e-5),
    "factor of another width": lambda: gelu(sizes(2, 5, 4), sizes(1, 1, 3)),
    "factor of another batch": lambda: gelu(sizes(2, 5, 4), None, sizes(3, 1, 4)),
    "gated value": lambda: gated(sizes(2, 5, 3), sizes(2, 5, 4), sizes(4, 4), sizes(4)),
    "gated sum": lambda: gated(sizes(2, 5, 4), sizes(2, 5, 4), sizes(4, 4), sizes(4), skip=sizes(2, 4, 4)),
    "bias of a gate": lambda: glu(sizes(2, 5, 4), sizes(8, 4), sizes(2)),
    "half a gate": lambda: glu(sizes(2, 5, 4), sizes(7, 4), sizes(7)),
    "factor of a gate": lambda: glu(sizes(2, 5, 4), sizes(8, 4), sizes(8), sizes(2, 1, 8)),
    "weights of a fork": lambda: scaled_fork(sizes(3), sizes(2, 5, 4)),
    "sum with a fork": lambda: add_scaled(sizes(2, 4, 4), scaled_fork(sizes(4), sizes(2, 5, 4))[1]),
    "system": lambda: diagonal_system("zoh", sizes(3), sizes(3), sizes(2), sizes(3, 4, 2), sizes(4, 3, 2), 1.0),
}


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_refused(call, backend):
    with running(backend), pytest.raises(ValueError, match=r"these shapes do not fit each other: \w+ \(\d"):
        call()
