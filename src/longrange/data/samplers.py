"""In which order the examples of an epoch come, shuffled or in batches of like length, and who computes which.

Both orders depend on (seed, epoch) alone, so a resumed run goes on with the order it would have had, and any number of
processes share the batches that one process would have.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from torch.utils.data import Sampler

from longrange.models.dropout import Part

# Batches that are sorted together. More would save little padding (at 50 the neighbours in a sorted pool hardly
# differ) and leave less to chance: an example meets only examples of its own pool.
POOL_BATCHES = 50


class EpochSampler(Sampler[int]):
    """A permutation of a data set that depends on (seed, epoch) alone, so that a resumed run sees the same order.

    Args:
        size: number of examples.
        seed: the run's seed.
        epoch: the first one. Loader processes draw its order before the trainer says which epoch it is.
    """

    def __init__(self, size: int, seed: int, epoch: int = 0):
        self.size, self.seed, self.epoch = size, seed, epoch

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer at the start of every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self):
        return iter(torch.randperm(self.size, generator=_generator(self.seed, self.epoch)).tolist())


class BucketSampler(EpochSampler):
    """A permutation whose consecutive batches hold examples of like length.

    A permutation of all examples is cut into pools of `POOL_BATCHES` batches; each pool is sorted by length and cut
    into batches, and all batches are shuffled. What does not fill a batch is a random choice of examples, at the end.

    Args:
        lengths: steps of each example, (n,) integers.
        batch_size: examples per batch of all processes together, so that none waits for longer sequences of another.
        seed: the run's seed.
        epoch: the first one, see `EpochSampler`.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int, epoch: int = 0):
        super().__init__(len(lengths), seed, epoch)
        self.lengths, self.batch_size = lengths, batch_size

    def __iter__(self):
        generator = _generator(self.seed, self.epoch)
        order = torch.randperm(len(self.lengths), generator=generator).numpy()
        whole = len(order) - len(order) % self.batch_size
        pools = np.split(order[:whole], range(POOL_BATCHES * self.batch_size, whole, POOL_BATCHES * self.batch_size))
        ordered = [pool[np.argsort(self.lengths[pool], kind="stable")] for pool in pools]
        batches = np.concatenate(ordered).reshape(-1, self.batch_size)
        batches = batches[torch.randperm(len(batches), generator=generator).numpy()]
        return iter(np.concatenate([batches.ravel(), order[whole:]]).tolist())


class TrainingBatches(Sampler[list[int]]):
    """The batches of an epoch, or of each of them the parts that one process computes; the ragged last one is dropped.

    Args:
        sampler: the order of an epoch; the trainer tells it the epoch.
        parts: the parts of this process, one after another, see `Part`.
        behind: parts of the first epoch that a resumed run has behind it.
    """

    def __init__(self, sampler: Sampler[int], parts: Sequence[Part], behind: int = 0):
        self.sampler, self.parts, self.batch_size, self.behind = sampler, parts, parts[0].batch_size, behind

    def __len__(self) -> int:
        return len(self.sampler) // self.batch_size * len(self.parts)

    def __iter__(self) -> Iterator[list[int]]:
        behind, self.behind = self.behind, 0
        yield from islice(self._whole_epoch(), behind, None)

    def _whole_epoch(self) -> Iterator[list[int]]:
        order = list(self.sampler)
        for start in range(0, len(order) - self.batch_size + 1, self.batch_size):
            batch = order[start : start + self.batch_size]
            yield from (batch[part.first :: part.parts] for part in self.parts)


def evaluation_batches(order: Sequence[int], batch_size: int, processes: int, rank: int) -> list[list[int]]:
    """One process's share of an evaluation: over all processes every example comes once.

    All get equally many batches and none is empty, since they may wait for one another; so the last batch takes in a
    rest that is too small to share.

    Args:
        order: the examples, at least one for each process.
        batch_size: examples per batch of all processes together, at least one for each.
        processes: how many there are.
        rank: which of them this is.
    """
    starts = range(0, len(order) - processes + 1, batch_size)
    return [
        list(order[start : start + batch_size if start != starts[-1] else None][rank::processes]) for start in starts
    ]


def longest_first(lengths: np.ndarray) -> list[int]:
    """The order of evaluation in which batches hold the least padding.

    Args:
        lengths: steps of each example, (n,) integers.
    Returns:
        all n indices, equal lengths in their own order.
    """
    return np.argsort(-lengths, kind="stable").tolist()


def _generator(seed: int, epoch: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + epoch)
