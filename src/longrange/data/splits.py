"""Which examples a published random split puts where."""

from collections.abc import Sequence

import numpy as np
import torch


def random_split(sizes: Sequence[int], seed: int = 42) -> list[np.ndarray]:
    """Deal out rows as `torch.utils.data.random_split` does with a generator of this seed.

    Args:
        sizes: examples of each part; their sum is the number of rows.
        seed: the published splits were made with 42.
    Returns:
        The rows of each part, (size,) int64, in the order in which the published code has them.
    """
    rows = torch.randperm(sum(sizes), generator=torch.Generator().manual_seed(seed)).numpy()
    return np.split(rows, np.cumsum(sizes)[:-1])


def tenth_held_out(n: int) -> dict[str, np.ndarray]:
    """The rows of "train" and of "val" where the published code holds out a tenth of the training examples.

    Args:
        n: number of training examples.
    """
    train = int(n * 0.9)
    return dict(zip(("train", "val"), random_split([train, n - train]), strict=True))
