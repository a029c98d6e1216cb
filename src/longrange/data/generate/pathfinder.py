"""Pathfinder: are two discs joined by a dashed curve? (Linsley et al., arXiv 1805.08315; Long Range Arena's settings.)

Every image has two long dashed curves ("snakes" of short "paddles") and shorter ones as distractors. One disc marks the
beginning of a long snake, another the end of the same one (label 1) or of the other (label 0). The procedure is the
published one, with Long Range Arena's parameters, without single paddles, as in the authors' own settings. Images are
drawn in parallel, each from its own random stream, so that the number of threads cannot matter.

One thing differs: where both long snakes end in the same pixel, so that the label means nothing, they are grown again.
"""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from longrange.data.generate.pathfinder_snakes import Scene, draw_many
from longrange.data.generate.pathfinder_tables import SETTINGS, Setting, Tables, build_tables, disc_picture, frame_width
from longrange.data.progress import Bar, progress_bar
from longrange.errors import ConfigError

LEVELS = {"easy": 6, "intermediate": 9, "hard": 14}  # paddles of a long snake
FOLDERS = {"easy": "curv_baseline", "intermediate": "curv_contour_length_9", "hard": "curv_contour_length_14"}
BLOCK = 100  # images drawn by one thread at a time


@dataclass(frozen=True)
class Recipe:
    """What images, and how many; the defaults are Long Range Arena's Pathfinder.

    Attributes:
        resolution: edge of an image in pixels: 32, 64, 128 (Path-X) or 256.
        level: "easy", "intermediate" or "hard": long snakes of 6, 9 or 14 paddles.
        images: how many, at least 10.

    Raises:
        ConfigError: a value is out of range.
    """

    resolution: int = 32
    level: str = "hard"
    images: int = 200_000

    def __post_init__(self):
        for name, valid in {"resolution": SETTINGS, "level": LEVELS}.items():
            if getattr(self, name) not in valid:
                choices = ", ".join(map(str, valid))
                raise ConfigError(f"data.recipe.{name}={getattr(self, name)}: must be one of {choices}")
        if self.images < 10:
            raise ConfigError(f"data.recipe.images={self.images}: must be at least 10, so that no split is empty")

    @property
    def setting(self) -> Setting:
        """The parameters of the resolution."""
        return SETTINGS[self.resolution]

    @property
    def long_paddles(self) -> int:
        """Paddles of each long snake."""
        return LEVELS[self.level]

    @property
    def distractor_paddles(self) -> int:
        """Paddles of each distractor."""
        return self.long_paddles // 3

    @property
    def distractors(self) -> int:
        """Most distractors of an image."""
        return self.setting.distractor_paddles // self.distractor_paddles


class Drawn(NamedTuple):
    """Images and what they show.

    Attributes:
        pixels: (n, R, R) uint8.
        labels: (n,) uint8.
        margins: distance between paddles, in pixels, (n,) uint8.
        ends: tail and head of every paddle of both long snakes, (n, 2, paddles, 2, 2) int16, as (y, x).
        discs: (n, 2, 2) int16, as (y, x): at the beginning of a long snake, at the end of one.
    """

    pixels: np.ndarray
    labels: np.ndarray
    margins: np.ndarray
    ends: np.ndarray
    discs: np.ndarray


def draw(recipe: Recipe, seed: int, begin: int, end: int) -> Drawn:
    """Images `begin` to `end` - 1 of a data set; each depends on (recipe, seed, its index) alone.

    Args:
        recipe: what to draw; the number of images does not matter.
        seed: of the data set, 0 or more.
        begin, end: indices.
    """
    n, size = end - begin, recipe.resolution
    drawn = Drawn(
        np.empty((n, size, size), np.uint8),
        np.empty(n, np.uint8),
        np.empty(n, np.uint8),
        np.empty((n, 2, recipe.long_paddles, 2, 2), np.int16),
        np.empty((n, 2, 2), np.int16),
    )
    draw_many(seed, begin, _tables(size), _scene(recipe), *drawn)
    margins = np.array(recipe.setting.margins, np.uint8)[drawn.margins]
    return drawn._replace(margins=margins)


def draw_all(recipe: Recipe, seed: int, workers: int | None = None) -> Iterator[tuple[int, Drawn]]:
    """All images of a data set in blocks, in order; progress is shown.

    Args:
        recipe: what to draw, how many.
        seed: of the data set.
        workers: threads; all cores where None.
    Yields:
        Index of the block's first image, the block.
    Raises:
        ConfigError: a negative seed.
    """
    if seed < 0:
        raise ConfigError(f"data.generator_seed={seed}: must be 0 or more")
    workers = workers or os.cpu_count() or 1
    begins = range(0, recipe.images, BLOCK)
    with progress_bar() as progress, ThreadPoolExecutor(workers) as pool:
        task = progress.add_task(f"drawing {recipe.resolution} x {recipe.resolution} images", total=recipe.images)
        ahead: deque = deque()
        try:
            for begin in begins:
                ahead.append((begin, pool.submit(draw, recipe, seed, begin, min(begin + BLOCK, recipe.images))))
                if len(ahead) > 2 * workers:
                    yield _next(ahead, progress, task)
            while ahead:
                yield _next(ahead, progress, task)
        finally:
            pool.shutdown(cancel_futures=True)


def _next(ahead: deque, progress: Bar, task) -> tuple[int, Drawn]:
    begin, future = ahead.popleft()
    drawn = future.result()
    progress.advance(task, len(drawn.labels))
    return begin, drawn


@lru_cache
def _tables(resolution: int) -> tuple[Tables, ...]:
    setting = SETTINGS[resolution]
    return tuple(build_tables(setting, resolution, margin) for margin in setting.margins)


def _scene(recipe: Recipe) -> Scene:
    setting = recipe.setting
    return Scene(
        recipe.resolution,
        frame_width(setting),
        setting.padding,
        recipe.long_paddles,
        recipe.distractors,
        recipe.distractor_paddles,
        setting.long_contrast,
        setting.distractor_contrast,
        disc_picture(setting),
    )
