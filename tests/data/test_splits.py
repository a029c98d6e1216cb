"""Splits are those that torch deals out, row by row."""

import numpy as np
import pytest
import torch

from longrange.data.splits import random_split, tenth_held_out


@pytest.mark.parametrize("sizes", [[45_000, 5_000], [7, 2, 1], [1], [160, 20, 20]])
@pytest.mark.parametrize("seed", [42, 0])
def test_rows_are_those_of_torch(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    expected = [part.indices for part in torch.utils.data.random_split(range(sum(sizes)), sizes, generator)]
    assert [rows.tolist() for rows in random_split(sizes, seed)] == expected


@pytest.mark.parametrize(("n", "train"), [(50_000, 45_000), (60_000, 54_000), (19, 17)])
def test_a_tenth_is_held_out_with_the_published_seed(n, train):
    rows = tenth_held_out(n)
    expected = torch.utils.data.random_split(range(n), [train, n - train], torch.Generator().manual_seed(42))
    assert [rows[name].tolist() for name in ("train", "val")] == [part.indices for part in expected]
    assert np.array_equal(np.sort(np.concatenate(list(rows.values()))), np.arange(n))
