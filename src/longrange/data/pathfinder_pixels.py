"""Pathfinder's images as memory-mapped bytes, written as they come and dealt out to the splits when read.

A cache is a folder of two NumPy files that anyone can load: `pixels.npy` (n, L) uint8, an image a row, and `labels.npy`
(n,) uint8. The published split is a permutation of all images; Path-X is too large to be put into that order in memory,
so the order is kept beside the pixels instead.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from longrange.data.arrays import mapped, save, write_header
from longrange.data.batch import Batch
from longrange.data.files import check_space, ensure_folder
from longrange.data.module import Split
from longrange.data.pixels import Scaled
from longrange.data.splits import random_split

PIXELS, LABELS = "pixels.npy", "labels.npy"

Blocks = Iterable[tuple[np.ndarray, np.ndarray]]


class PixelDataset(Dataset):
    """One split of a cache.

    Args:
        folder: the cache.
        split: which part: 10% of the images, rounded down, are validation data, as many test data.
        center: gray levels from -1 to 1; from 0 to 1 where False.

    Attributes:
        path: the file of the pixels.
        rows: where the split's images are in it, (n,) int64.
        targets: labels in the split's order, (n,) uint8.

    Raises:
        OSError, ValueError: a file is missing or damaged.
    """

    def __init__(self, folder: Path, split: Split, center: bool):
        self.arguments = folder, split, center
        self.path = folder / PIXELS
        self.pixels, labels = mapped(self.path), mapped(folder / LABELS)
        if self.pixels.shape[:1] != labels.shape:
            raise ValueError(f"{folder}: pixels {self.pixels.shape} but labels {labels.shape}")
        self.rows = split_rows(len(labels), split)
        self.targets = labels[self.rows]
        self.decode = Scaled((0.5,), (0.5,)) if center else Scaled()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """The batch of these examples: inputs (B, L, 1) float32, every row full."""
        chosen = np.asarray(indices)
        inputs = self.decode(self.pixels[self.rows[chosen]])
        return Batch(inputs, None, torch.from_numpy(self.targets[chosen].astype(np.int64)))

    def __reduce__(self):
        """Loader processes open the files anew instead of receiving a copy of what is mapped."""
        return PixelDataset, self.arguments


def split_rows(n: int, split: Split) -> np.ndarray:
    """Rows of a split, (size,) int64: the published random split, a tenth each for validation and test data."""
    tenth = n // 10
    return dict(zip(("train", "val", "test"), random_split([n - 2 * tenth, tenth, tenth]), strict=True))[split]


def ensure_pixels(folder: Path, images: int, steps: int, blocks: Callable[[], Blocks]) -> None:
    """Make the cache unless it is there and readable; of several processes, one does the work.

    Args:
        folder: of the cache; appears whole, or not at all.
        images, steps: how many, and how many pixels each.
        blocks: makes the images in order: pixels (k, steps) uint8 and labels (k,) at a time.
    Raises:
        DataError: a source is at fault, or the folder cannot be written, or the disk is too full.
    """

    def make(partial: Path) -> None:
        check_space(folder, images * steps)
        _write(partial, images, steps, blocks())

    ensure_folder(folder, lambda: _readable(folder, (images, steps)), make)


def _write(folder: Path, images: int, steps: int, blocks: Blocks) -> None:
    """Write block after block, so that a disk that fills up is an error and not a broken memory map."""
    labels: list[np.ndarray] = []
    with (folder / PIXELS).open("wb") as file:
        write_header(file, np.dtype(np.uint8), (images, steps))
        for pixels, block_labels in blocks:
            file.write(np.ascontiguousarray(pixels).data)
            labels.append(block_labels)
    save(folder / LABELS, np.concatenate(labels).astype(np.uint8))


def _readable(folder: Path, shape: tuple[int, int]) -> bool:
    try:
        return PixelDataset(folder, "train", center=True).pixels.shape == shape
    except (OSError, ValueError):
        return False
