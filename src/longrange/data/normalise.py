"""Normalisation by statistics of the training examples, for continuous inputs kept as their source has them."""

import numpy as np
import torch
from torch import Tensor

# What stands for a sample that has been dropped.
MISSING = {np.dtype(np.int16): np.iinfo(np.int16).min, np.dtype(np.float32): np.nan}


class Moments:
    """Mean and standard deviation over examples that come in parts.

    Args:
        axes: of (n, L, C), those that statistics are taken over.
        masked: samples that are `MISSING` do not count.
    """

    def __init__(self, axes: tuple[int, ...], masked: bool):
        self.axes, self.masked = axes, masked
        self.count = self.sum = self.squares = 0

    def add(self, part: np.ndarray) -> None:
        """Take in further examples, (n_i, L, C) int16 or float32."""
        there = present(part) if self.masked else np.ones(part.shape, bool)
        values = np.where(there, part, 0).astype(np.float64)
        self.count = self.count + there.sum(self.axes)
        self.sum = self.sum + values.sum(self.axes)
        self.squares = self.squares + np.square(values, out=values).sum(self.axes)

    def mean_and_deviation(self) -> np.ndarray:
        """Both, (2, ...) float64: what `axes` leave over. The deviation is the unbiased one, 0 for a single value."""
        mean = self.sum / np.maximum(self.count, 1)
        variance = (self.squares - self.sum * mean) / np.maximum(self.count - 1, 1)
        return np.stack([mean, np.sqrt(np.maximum(variance, 0))])


class Normalised:
    """Decodes a gathered batch: every `decimate`-th step, (x - mean) / (deviation + guard).

    Args:
        statistics: as from `Moments`, broadcastable to (2, L, C).
        guard: added to the deviation.
        decimate: of how many steps the first is kept.
        masked: `MISSING` samples become 0, and a last channel says which steps are there (1) and which are not (0).
    """

    def __init__(self, statistics: np.ndarray, guard: float, decimate: int, masked: bool):
        mean, deviation = statistics if statistics.ndim == 2 else statistics[:, ::decimate]
        self.mean, self.scale = mean.astype(np.float32), (1 / (deviation + guard)).astype(np.float32)
        self.decimate, self.masked = decimate, masked

    def __call__(self, raw: np.ndarray) -> Tensor:
        """(B, L, C) int16 or float32 to (B, ceil(L / decimate), C) float32; C + 1 channels where masked."""
        raw = raw[:, :: self.decimate]
        values = np.subtract(raw, self.mean, dtype=np.float32)
        values *= self.scale
        if self.masked:
            there = present(raw)
            values = np.concatenate([np.where(there, values, 0), there[..., :1]], axis=-1, dtype=np.float32)
        return torch.from_numpy(values)


def drop(part: np.ndarray, share: float, rng: np.random.Generator) -> None:
    """Mark as `MISSING` the same number of steps of each example, drawn at random.

    Args:
        part: (n, L, C) int16 or float32, changed in place.
        share: of the steps, at least 0 and below 1; rounded down.
        rng: draws the steps.
    """
    n, L = part.shape[:2]
    count = int(L * share)
    if count:
        if part.dtype == np.int16:
            np.maximum(part, MISSING[part.dtype] + 1, out=part)  # a sample of that value is not missing
        chosen = np.argpartition(rng.random((n, L), np.float32), count, axis=1)[:, :count]
        part[np.arange(n)[:, None], chosen] = MISSING[part.dtype]


def present(part: np.ndarray) -> np.ndarray:
    """Which samples are not `MISSING`, bool of the same shape."""
    return ~np.isnan(part) if part.dtype == np.float32 else part != MISSING[part.dtype]
