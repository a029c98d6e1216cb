"""In which order the examples of an epoch come: shuffled, or shuffled in batches of like length.

Both orders depend on (seed, epoch) alone, so a resumed run goes on with the order it would have had.
"""

import numpy as np
import torch
from torch.utils.data import Sampler
from torch.utils.data.distributed import DistributedSampler

# Batches that are sorted together. More would save little padding (at 50 the neighbours in a sorted pool hardly
# differ) and leave less to chance: an example meets only examples of its own pool.
POOL_BATCHES = 50


class EpochSampler(Sampler[int]):
    """A permutation of a data set that depends on (seed, epoch) alone, so that a resumed run sees the same order.

    Args:
        size: number of examples.
        seed: the run's seed.
    """

    def __init__(self, size: int, seed: int):
        self.size, self.seed, self.epoch = size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer at the start of every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self):
        return iter(torch.randperm(self.size, generator=_generator(self.seed, self.epoch)).tolist())


class BucketSampler(DistributedSampler):
    """A permutation whose consecutive batches hold examples of like length.

    A permutation of all examples is cut into pools of `POOL_BATCHES` batches; each pool is sorted by length and cut
    into batches, and all batches are shuffled. What does not fill a batch is a random choice of examples, at the end.

    With several processes one batch of all processes together is a bucket, so that none waits for longer sequences of
    another. It is a `DistributedSampler`, which keeps the trainer from shuffling the order again.

    Args:
        lengths: steps of each example, (n,) integers.
        batch_size: examples per batch of one process.
        seed: the run's seed.
        replicas: number of processes.
        rank: which of them this is.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int, replicas: int = 1, rank: int = 0):
        super().__init__(lengths, num_replicas=replicas, rank=rank, seed=seed, drop_last=True)
        self.lengths, self.bucket_size = lengths, batch_size * replicas

    def __iter__(self):
        generator = _generator(self.seed, self.epoch)
        order = torch.randperm(len(self.lengths), generator=generator).numpy()
        whole = len(order) - len(order) % self.bucket_size
        pools = np.split(order[:whole], range(POOL_BATCHES * self.bucket_size, whole, POOL_BATCHES * self.bucket_size))
        ordered = [pool[np.argsort(self.lengths[pool], kind="stable")] for pool in pools]
        batches = np.concatenate(ordered).reshape(-1, self.bucket_size)
        batches = batches[torch.randperm(len(batches), generator=generator).numpy()]
        order = np.concatenate([batches.ravel(), order[whole:]])
        return iter(order[self.rank : self.total_size : self.num_replicas].tolist())


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
