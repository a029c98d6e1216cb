"""CIFAR-10 pixel by pixel: Image (gray, as in Long Range Arena) and sCIFAR (colour).

Source: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html: 60,000 photographs of 32 x 32 pixels, 6,000 of
each of ten classes; no licence is stated, the publisher asks to be cited. 50,000 are for training; the published S4 and
S5 code keeps 5,000 of them for validation, dealt out by torch's generator with seed 42. Pixels come row by row, 1,024
steps, normalised as in that code: gray by mean 122.6 and deviation 61, colour channel by channel. Long Range Arena's
own code takes gray values as 256 tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader

from longrange.data.archives import ensure_unpacked
from longrange.data.arrays import ArrayDataset, Arrays, ensure_arrays, open_arrays
from longrange.data.augmentation import Augmented, DatedSampler
from longrange.data.cache import cache_folder
from longrange.data.checksums import check
from longrange.data.cifar_files import N_CLASSES, SIDE, TEST_FILES, TRAIN_FILES, read_batch
from longrange.data.fetch import Source
from longrange.data.module import SequenceDataModule, Split
from longrange.data.pixels import Scaled, as_tokens, gray
from longrange.data.splits import tenth_held_out
from longrange.errors import ConfigError, DataError
from longrange.models.spec import TaskSpec

ARCHIVE = Source(
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    name="cifar-10-python.tar.gz",
    size=170_498_071,
    checksum="md5:c58f30108f718f92721af3b95e74349a",
)
FOLDER = "cifar-10-batches-py"
FILES = (*TRAIN_FILES, *TEST_FILES)

_GRAY = Scaled((122.6 / 255,), (61.0 / 255,))
_COLOUR = Scaled((0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261))


class Cifar(SequenceDataModule):
    """CIFAR-10, downloaded where it is absent.

    Args:
        data_dir: folder of `cifar-10-python.tar.gz`, of what it unpacks to, or of the batch files themselves.
        cache_dir: folder of the prepared data; `data_dir/cache` where None.
        colour: three channels; one, gray, where False.
        tokens: gray values as 256 tokens instead of one channel.
        augment: training images are moved by up to 4 pixels and mirrored, anew in every epoch.
        verify: refuse files that are not the published ones, bit by bit.
        download: get the archive where there is nothing.
        name: the task's name in its spec.
        options: batch size and loader options, see `SequenceDataModule`.

    Raises:
        ConfigError: colour has no tokens.
    """

    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    def __init__(
        self,
        *,
        data_dir: str | Path,
        cache_dir: str | Path | None = None,
        colour: bool = False,
        tokens: bool = False,
        augment: bool = False,
        verify: bool = True,
        download: bool = True,
        name: str = "image",
        **options,
    ):
        super().__init__(**options)
        if colour and tokens:
            raise ConfigError("data.tokens=true: gray values only; set data.colour=false")
        self.data_dir = Path(data_dir).expanduser()
        self.cache_dir = Path(cache_dir).expanduser() if cache_dir else self.data_dir / "cache"
        self.colour, self.tokens, self.augment = colour, tokens, augment
        self.verify, self.download, self.name = verify, download, name

    @property
    def spec(self) -> TaskSpec:
        """1,024 pixels in, 10 classes out."""
        if self.tokens:
            return TaskSpec(self.name, "tokens", 256, N_CLASSES, SIDE * SIDE)
        return TaskSpec(self.name, "continuous", 3 if self.colour else 1, N_CLASSES, SIDE * SIDE)

    @property
    def sources(self) -> list[Source]:
        """The published archive."""
        return [ARCHIVE if self.verify else replace(ARCHIVE, checksum=None)]

    def present(self) -> bool:
        """Whether all batch files are there."""
        return _complete(self._folder)

    def prepare_data(self) -> None:
        """Download and unpack the archive, and decode it, as far as that has not been done.

        Raises:
            DataError: a file cannot be had, is damaged, or differs from the published one; a place cannot be written.
        """
        ensure_unpacked(*self.sources, self.data_dir, self.present, [FOLDER], download=self.download)
        read = cache(self._read)  # train and val are rows of the same files
        ensure_arrays(self._cache, ("train", "val", "test"), lambda split: _rows(read, split))

    def split(self, name: Split) -> ArrayDataset:
        """The images of one split, memory-mapped.

        Raises:
            DataError: the data has not been prepared.
        """
        decode = as_tokens if self.tokens else _COLOUR if self.colour else _GRAY
        return open_arrays(self._cache, name, decode, self.name)

    def train_dataloader(self) -> DataLoader:
        """As for every task; with `augment`, images change from epoch to epoch."""
        loader = super().train_dataloader()
        if not self.augment:
            return loader
        data = Augmented(loader.dataset, self.seed)
        return self._training_loader(data, DatedSampler(len(data), self.seed))

    def preview(self, split: Split, indices: Sequence[int]) -> list[tuple[str, np.ndarray, str]]:
        """Images for people, without augmentation: "image", (32, 32) or (32, 32, 3) uint8, the class."""
        data = self.split(split)
        images = data.inputs[indices].reshape(len(indices), SIDE, SIDE, *data.inputs.shape[2:])
        return [
            ("image", image, self.classes[target]) for image, target in zip(images, data.targets[indices], strict=True)
        ]

    @property
    def _folder(self) -> Path:
        return self.data_dir if _complete(self.data_dir) else self.data_dir / FOLDER

    @property
    def _cache(self) -> Path:
        files = [self._folder / name for name in FILES]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise DataError(
                f"{self._folder}: no {', '.join(missing)}; run scripts/prepare_data.py data={self.name}, or unpack "
                f"{ARCHIVE.name} there"
            )
        return cache_folder(self.cache_dir, self.name, files, {"colour": self.colour, "verify": self.verify})

    def _read(self, names: tuple[str, ...]) -> Arrays:
        files = [self._folder / name for name in names]
        check(self.data_dir, files)
        parts = [read_batch(file, self.verify) for file in files]
        images = np.concatenate([images if self.colour else gray(images) for images, _ in parts])
        return Arrays(images, np.concatenate([labels for _, labels in parts]))


def _rows(read: Callable[[tuple[str, ...]], Arrays], split: str) -> Arrays:
    if split == "test":
        return read(TEST_FILES)
    images, labels = read(TRAIN_FILES)
    rows = tenth_held_out(len(labels))[split]
    return Arrays(images[rows], labels[rows])


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in FILES)
