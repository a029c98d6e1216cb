"""Training images moved and mirrored, anew in every epoch and the same in every run.

What happens to an example depends on (seed, epoch, index) alone: the order of an epoch hands the epoch on with each
index, so it does not matter which process loads the example, or whether the run was resumed.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from longrange.data.arrays import ArrayDataset
from longrange.data.batch import Batch
from longrange.data.generate.splitmix import mixed
from longrange.data.samplers import EpochSampler


class DatedSampler(EpochSampler):
    """The order of `EpochSampler`, each index given as index + epoch * size."""

    def __iter__(self):
        return (index + self.epoch * self.size for index in super().__iter__())


class Augmented(Dataset):
    """Images that are moved and mirrored anew in every epoch.

    Args:
        images: a split of square images, (n, height * width) or (n, height * width, C).
        seed: the run's seed.
    """

    def __init__(self, images: ArrayDataset, seed: int):
        self.images, self.seed = images, seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, dated: Sequence[int]) -> Batch:
        """The batch of these examples; indices from `DatedSampler`."""
        epochs, indices = np.divmod(np.asarray(dated), len(self))
        moved = moved_and_mirrored(self.images.inputs[indices], self.seed, epochs, indices)
        return Batch(self.images.decode(moved), None, torch.from_numpy(self.images.targets[indices]))


def moved_and_mirrored(images: np.ndarray, seed: int, epochs: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Move each image by up to 4 pixels in both directions and mirror it or not; edges are filled by reflection.

    This is a crop of the image's own size from its padded form, at a uniform place. What happens to an example depends
    on (seed, epoch, index) alone.

    Args:
        images: (B, height * width) or (B, height * width, C), square.
        seed: the run's seed.
        epochs, indices: which example it is, when, (B,) int64.
    Returns:
        Like `images`.
    """
    side = int(np.sqrt(images.shape[1]))
    down, right, mirrored = _moves(seed, epochs, indices)
    steps = np.arange(side)
    rows, columns = (_reflected(steps + move[:, None], side) for move in (down, right))
    columns = np.where(mirrored[:, None], columns[:, ::-1], columns)
    source = (rows[:, :, None] * side + columns[:, None, :]).reshape(len(images), -1)
    return images[np.arange(len(images))[:, None], source]


def _moves(seed: int, epochs: np.ndarray, indices: np.ndarray, most: int = 4) -> tuple[np.ndarray, ...]:
    """Steps down and to the right in -most..most, and whether to mirror, from one hash for each example."""
    hashed = mixed(np.array([seed], np.uint64))
    hashed = mixed(mixed(hashed + epochs.astype(np.uint64)) + indices.astype(np.uint64))
    places = 2 * most + 1
    down, right = ((hashed >> np.uint64(shift) & np.uint64(0xFFFFFF)).astype(np.int64) for shift in (0, 24))
    return (down * places >> 24) - most, (right * places >> 24) - most, hashed >> np.uint64(63) == 1


def _reflected(positions: np.ndarray, side: int) -> np.ndarray:
    """Positions outside 0..side-1 seen in a mirror at the image's edge: the edge pixel is repeated."""
    positions = np.where(positions < 0, -1 - positions, positions)
    return np.where(positions >= side, 2 * side - 1 - positions, positions)
