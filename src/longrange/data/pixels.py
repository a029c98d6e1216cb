"""From the bytes of images to what a model takes, a whole batch at a time."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


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
