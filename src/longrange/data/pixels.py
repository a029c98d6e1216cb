"""From the bytes of images to what a model takes, a whole batch at a time."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from longrange.data.generate.splitmix import mixed


@dataclass(frozen=True)
class Scaled:
    """Decode bytes to floats: v / 255, then (v - mean) / std, each channel for itself.

    Attributes:
        mean, std: one number for each channel.
        order: where each step takes its pixel from, (L,) integers; the file's order where None.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    order: np.ndarray | None = None

    def __call__(self, rows: np.ndarray) -> Tensor:
        """From (B, L) or (B, L, C) uint8 to (B, L, C) float32."""
        if self.order is not None:
            rows = rows.take(self.order, axis=1)
        pixels = torch.from_numpy(rows).to(torch.float32).div_(255)
        return pixels.view(*rows.shape[:2], -1).sub_(torch.tensor(self.mean)).div_(torch.tensor(self.std))


def as_tokens(rows: np.ndarray) -> Tensor:
    """Bytes as token ids, (B, L) int64."""
    return torch.from_numpy(rows).long()


def gray(images: np.ndarray) -> np.ndarray:
    """Luma of ITU-R BT.601 in Pillow's 16-bit arithmetic, which the published gray images were made with.

    Args:
        images: (..., 3) uint8, red, green, blue.
    Returns:
        (...) uint8.
    """
    red, green, blue = (images[..., channel].astype(np.uint32) for channel in range(3))
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8)


def cropped_and_flipped(images: np.ndarray, seed: int, epochs: np.ndarray, indices: np.ndarray) -> np.ndarray:
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
