"""Pathfinder and Path-X: do two discs lie on the same dashed curve? Images pixel by pixel, two classes.

Source: Linsley et al. (arXiv 1805.08315) in the sizes of Long Range Arena (arXiv 2011.04006): 200,000 images of 32 x 32
(Pathfinder) or 128 x 128 pixels (Path-X), half of them of each label, of which 160,000 / 20,000 / 20,000 are training,
validation and test data. The folders of the published archive
(https://storage.googleapis.com/long-range-arena/lra_release.gz) are read as they are; without them, images of the same
distribution are drawn. The split is that of the S4 and S5 code: all images in the order of the metadata, then
a random split with seed 42.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from longrange.data.cache import cache_folder
from longrange.data.fetch import Source
from longrange.data.files import is_vacant, prepared
from longrange.data.generate.pathfinder import Recipe, draw_all
from longrange.data.module import SequenceDataModule, Split
from longrange.data.pathfinder_files import find_level, read_images, read_listings
from longrange.data.pathfinder_pixels import PixelDataset, ensure_pixels
from longrange.errors import DataError
from longrange.models.spec import TaskSpec

log = logging.getLogger(__name__)


class Pathfinder(SequenceDataModule):
    """Pathfinder from published files, or drawn.

    Args:
        data_dir: the published archive, or a folder in it; where it is absent or empty, images are drawn.
        cache_dir: folder of the pixels, one byte each; `data_dir` with the ending `-cache` where None.
        recipe: resolution and level, and for drawn images how many; the published Pathfinder where None.
        generator_seed: decides what is drawn.
        center: gray levels from -1 to 1; from 0 to 1 where False.
        name: the task's name in its spec.
        options: batch size and loader options, see `SequenceDataModule`.
    """

    classes = ("apart", "joined")

    def __init__(
        self,
        *,
        data_dir: str | Path,
        cache_dir: str | Path | None = None,
        recipe: Recipe | None = None,
        generator_seed: int = 0,
        center: bool = True,
        name: str = "pathfinder",
        **options,
    ):
        super().__init__(**options)
        self.data_dir = Path(data_dir).expanduser()
        beside = self.data_dir.with_name(f"{self.data_dir.name}-cache")
        self.cache_dir = Path(cache_dir).expanduser() if cache_dir else beside
        self.recipe, self.generator_seed = recipe or Recipe(), generator_seed
        self.center, self.name = center, name

    @property
    def spec(self) -> TaskSpec:
        """One gray level a step, two classes."""
        return TaskSpec(self.name, "continuous", 1, 2, self.recipe.resolution**2)

    @property
    def sources(self) -> list[Source]:
        """None: what is not there is drawn."""
        return []

    def present(self) -> bool:
        """Whether published files are there, or drawn images."""
        if not self._published:
            return self._cache.is_dir()
        try:
            return find_level(self.data_dir, self.recipe).is_dir()
        except DataError:
            return False

    def prepare_data(self) -> None:
        """Bring all pixels into the cache where that has not been done: from the files, or drawn.

        Raises:
            DataError: the folder holds other things; images are missing or damaged; the cache cannot be written.
        """
        steps = self.recipe.resolution**2
        if self._published:
            listings = read_listings(find_level(self.data_dir, self.recipe))
            images = sum(len(listing.images) for listing in listings)
            ensure_pixels(self._cache, images, steps, lambda: read_images(listings, self.recipe.resolution))
        else:
            ensure_pixels(self._cache, self.recipe.images, steps, self._drawn)

    def split(self, name: Split) -> PixelDataset:
        """The images of one split, memory-mapped.

        Raises:
            DataError: the data has not been prepared.
        """
        with prepared(self._cache, self.name):
            return PixelDataset(self._cache, name, self.center)

    def preview(self, split: Split, indices: Sequence[int]) -> list[tuple[str, np.ndarray, str]]:
        """Images for people: "image", (R, R) uint8, what the label says."""
        data, side = self.split(split), self.recipe.resolution
        images = data.pixels[data.rows[indices]].reshape(-1, side, side)
        labels = (self.classes[label] for label in data.targets[indices])
        return [("image", image, label) for image, label in zip(images, labels, strict=True)]

    def _drawn(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        log.info("%s: no Pathfinder images; drawing them", self.data_dir)
        for _, drawn in draw_all(self.recipe, self.generator_seed):
            yield drawn.pixels.reshape(len(drawn.labels), -1), drawn.labels

    @property
    def _published(self) -> bool:
        return not is_vacant(self.data_dir)

    @property
    def _cache(self) -> Path:
        if not self._published:
            options = asdict(self.recipe) | {"seed": self.generator_seed}
            return cache_folder(self.cache_dir, self.name, [], options)
        level = find_level(self.data_dir, self.recipe)
        # A folder's time of change tells of files that came or went, without a look at each of them.
        sources = [*sorted((level / "metadata").glob("*.npy")), *sorted((level / "imgs").glob("*"))]
        return cache_folder(self.cache_dir, self.name, sources, {"resolution": self.recipe.resolution})
