"""Clearing what stands in the padding."""

import pytest
import torch

from longrange.kernels import zero_padding


@pytest.mark.parametrize("lengths", [[3, 3], [3, 1], [0, 2], []])
def test_only_steps_beyond_the_lengths_become_zero(lengths):
    x = torch.full((len(lengths), 3, 2), float("nan"))
    expected = torch.stack([torch.arange(3) < length for length in lengths]) if lengths else torch.empty(0, 3)
    assert torch.equal(zero_padding(x, torch.tensor(lengths, dtype=torch.int64))[..., 0].isnan(), expected.bool())
