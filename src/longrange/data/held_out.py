"""Random splits by share: shuffled as scikit-learn does in published pipelines, by class, or by group."""

from collections.abc import Sequence

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


def grouped(groups: np.ndarray, shares: Sequence[float], seed: int) -> list[np.ndarray]:
    """A random split that keeps every group in one part.

    Groups are taken in random order. Each part takes whole groups until it has its share; the last part gets the rest.

    Args:
        groups: group of each example, (n,) of anything that sorts.
        shares: of the examples, for all parts but the last.
        seed: decides the order of the groups.
    Returns:
        Indices of the examples of each part, int64, ascending.
    Raises:
        DataError: there are not enough groups.
    """
    names, members, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    part_of = np.full(len(names), len(shares))
    for part, share in enumerate(shares):
        enough = np.searchsorted(np.cumsum(sizes[order]), share * len(groups)) + 1
        part_of[order[:enough]] = part
        order = order[enough:]
    if not len(order):
        raise DataError(f"{len(names)} groups are too few to be split into {len(shares) + 1} parts")
    return [np.flatnonzero(part_of[members] == part) for part in range(len(shares) + 1)]
