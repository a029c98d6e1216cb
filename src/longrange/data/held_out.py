"""Random splits by share, as scikit-learn makes them in the published pipelines."""

import numpy as np

from longrange.errors import DataError


def shuffled(count: int, held_out: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The split of scikit-learn's `train_test_split(test_size=held_out, random_state=seed)`, index by index.

    Args:
        count: number of examples.
        held_out: share of the second part, rounded up.
        seed: of numpy's legacy generator, whose stream is frozen.
    Returns:
        Indices of the first and of the second part, int64, in shuffled order.
    """
    order = np.random.RandomState(seed).permutation(count)
    second = int(np.ceil(held_out * count))
    return order[second:], order[:second]


def stratified(classes: np.ndarray, kept: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A random split whose parts hold the same share of every class, to one example.

    Args:
        classes: (n,) int64.
        kept: share of the first part, rounded down over all classes together.
        seed: decides which examples go where.
    Returns:
        Indices of the first and of the second part, int64, ascending.
    Raises:
        DataError: a part would be empty.
    """
    shares = kept * np.bincount(classes)
    quotas = np.floor(shares).astype(np.int64)
    missing = int(kept * len(classes)) - quotas.sum()
    quotas[np.argsort(quotas - shares, kind="stable")[:missing]] += 1
    rng = np.random.default_rng(seed)
    first = np.zeros(len(classes), bool)
    for label, quota in enumerate(quotas):
        first[rng.permutation(np.flatnonzero(classes == label))[:quota]] = True
    if first.all() or not first.any():
        raise DataError(f"{len(classes)} examples are too few to be split")
    return np.flatnonzero(first), np.flatnonzero(~first)
