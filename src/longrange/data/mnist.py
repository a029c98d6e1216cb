"""MNIST pixel by pixel: sMNIST in the order of the image, psMNIST in a fixed other order.

Source: LeCun, Cortes and Burges, 70,000 handwritten digits of 28 x 28 pixels (CC BY-SA 3.0), about equally many of
each; the address is PyTorch's mirror. 60,000 are for training; the published S4 and S5 code keeps 6,000 of them for
validation, dealt out by torch's generator with seed 42. Pixels are divided by 255, nothing else; 784 steps.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from longrange.data.arrays import ArrayDataset, Arrays, ensure_arrays, open_arrays
from longrange.data.cache import cache_folder
from longrange.data.fetch import Source, fetch
from longrange.data.mnist_files import N_CLASSES, SIDE, is_published, read_images, read_labels
from longrange.data.module import SequenceDataModule, Split
from longrange.data.pixels import Scaled
from longrange.data.splits import tenth_held_out
from longrange.errors import ConfigError, DataError
from longrange.models.spec import TaskSpec

_MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist"
FILES = {
    "train-images-idx3-ubyte.gz": (9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    "train-labels-idx1-ubyte.gz": (28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
    "t10k-images-idx3-ubyte.gz": (1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
    "t10k-labels-idx1-ubyte.gz": (4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
}
LENGTH = SIDE * SIDE


class Mnist(SequenceDataModule):
    """MNIST, downloaded where it is absent.

    Args:
        data_dir: folder of the four files, packed or not.
        cache_dir: folder of the prepared data; `data_dir/cache` where None.
        permutation: order of the pixels: as they are (None), the published "bit_reversal", or "random".
        permutation_seed: decides the random order, which is that of `numpy.random.RandomState`; 92916 in the papers
            that have one.
        verify: refuse files that are not the published ones, bit by bit.
        download: get what is not there.
        name: the task's name in its spec.
        options: batch size and loader options, see `SequenceDataModule`.

    Raises:
        ConfigError: no such permutation.
    """

    def __init__(
        self,
        *,
        data_dir: str | Path,
        cache_dir: str | Path | None = None,
        permutation: Literal["bit_reversal", "random"] | None = None,
        permutation_seed: int = 92916,
        verify: bool = True,
        download: bool = True,
        name: str = "smnist",
        **options,
    ):
        super().__init__(**options)
        self.data_dir = Path(data_dir).expanduser()
        self.cache_dir = Path(cache_dir).expanduser() if cache_dir else self.data_dir / "cache"
        self.order = _order(permutation, permutation_seed)
        self.verify, self.download, self.name = verify, download, name

    @property
    def spec(self) -> TaskSpec:
        """784 pixels in, 10 classes out."""
        return TaskSpec(self.name, "continuous", 1, N_CLASSES, LENGTH)

    @property
    def sources(self) -> list[Source]:
        """The four published files."""
        return [Source(f"{_MIRROR}/{name}", name, size, f"md5:{md5}") for name, (size, md5) in FILES.items()]

    def present(self) -> bool:
        """Whether all four files are there."""
        return all(self._file(name).is_file() for name in FILES)

    def holds_published(self, path: Path) -> bool:
        """Whether one of the files holds the published content, though a mirror has packed it anew."""
        return is_published(path)

    def prepare_data(self) -> None:
        """Download what is missing, and decode it, as far as that has not been done.

        Raises:
            DataError: a file cannot be had, is damaged, or differs from the published one; a place cannot be written.
        """
        for source in self.sources:
            if not self._file(source.name).is_file():
                fetch(source, self.data_dir, download=self.download)
        ensure_arrays(self._cache, ("train", "val", "test"), self._encode)

    def split(self, name: Split) -> ArrayDataset:
        """The images of one split, memory-mapped.

        Raises:
            DataError: the data has not been prepared.
        """
        return open_arrays(self._cache, name, Scaled(order=self.order), self.name)

    def preview(self, split: Split, indices: Sequence[int]) -> list[tuple[str, np.ndarray, str]]:
        """Images for people, not permuted: "image", (28, 28) uint8, the digit."""
        data = self.split(split)
        images = data.inputs[indices].reshape(-1, SIDE, SIDE)
        return [("image", image, str(digit)) for image, digit in zip(images, data.targets[indices], strict=True)]

    def _file(self, name: str) -> Path:
        """The file as it is in the folder: unpacked where it is there unpacked."""
        unpacked = self.data_dir / name.removesuffix(".gz")
        return unpacked if unpacked.is_file() else self.data_dir / name

    @property
    def _cache(self) -> Path:
        missing = [name for name in FILES if not self._file(name).is_file()]
        if missing:
            raise DataError(f"{self.data_dir}: no {', '.join(missing)}; run scripts/prepare_data.py data={self.name}")
        return cache_folder(self.cache_dir, self.name, map(self._file, FILES), {"verify": self.verify})

    def _encode(self, split: str) -> Arrays:
        stem = "t10k" if split == "test" else "train"
        images_file, labels_file = (self._file(name) for name in FILES if name.startswith(stem))
        images, labels = read_images(images_file, self.verify), read_labels(labels_file, self.verify)
        if len(images) != len(labels):
            raise DataError(f"{images_file}: {len(images)} images but {len(labels)} labels; download both again")
        rows = slice(None) if split == "test" else tenth_held_out(len(labels))[split]
        return Arrays(images[rows], labels[rows])


def _order(permutation: str | None, seed: int) -> np.ndarray | None:
    if permutation is None:
        return None
    if permutation == "bit_reversal":
        return bit_reversal(LENGTH)
    if permutation == "random":
        return np.random.RandomState(seed).permutation(LENGTH)  # a stream that NumPy has frozen
    raise ConfigError(f"data.permutation={permutation}: must be null, bit_reversal or random")


def bit_reversal(n: int) -> np.ndarray:
    """The numbers 0..n-1 in the order of their reversed bits: "permuted" MNIST as S4, LSSL and S5 have it.

    Args:
        n: how many; where that is no power of two, the larger numbers of the next one are left out.
    Returns:
        (n,) int64.
    """
    bits = (n - 1).bit_length()
    numbers = np.arange(1 << bits)
    reversed_ = np.zeros_like(numbers)
    for bit in range(bits):
        reversed_ |= (numbers >> bit & 1) << (bits - 1 - bit)
    return reversed_[reversed_ < n]
