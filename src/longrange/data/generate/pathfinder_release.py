"""Generated Pathfinder images as files, in the layout of the Long Range Arena archive.

`python -m longrange.data.generate.pathfinder_release FOLDER --resolution 32 --level hard` makes
FOLDER/pathfinder32/curv_contour_length_14/{imgs/<batch>/sample_<k>.png, metadata/<batch>.npy}. A metadata file is plain
text whatever its name says: one image a line, its columns as in `_row`.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from longrange.data.files import locked, whole_folder
from longrange.data.generate.pathfinder import FOLDERS, LEVELS, Recipe, draw_all
from longrange.data.generate.pathfinder_tables import SETTINGS

BATCH = 1000  # images to a folder


def level_folder(root: Path, recipe: Recipe) -> Path:
    """Where the archive keeps a resolution's level."""
    return root / f"pathfinder{recipe.resolution}" / FOLDERS[recipe.level]


def write_release(root: Path, recipe: Recipe, seed: int, workers: int | None = None) -> Path:
    """Draw a data set into PNG files and metadata; whole, or not at all.

    Args:
        root: gets pathfinder<resolution>/<level>/; what that folder held is replaced.
        recipe: what to draw, how many.
        seed: of the data set.
        workers: threads; all cores where None.
    Returns:
        The level's folder.
    Raises:
        ConfigError: a negative seed.
        DataError: the folder cannot be written.
    """
    folder = level_folder(root, recipe)
    with locked(folder), whole_folder(folder) as partial:
        (partial / "metadata").mkdir()
        for begin, drawn in draw_all(recipe, seed, workers):
            for i, shown in enumerate(zip(drawn.pixels, drawn.labels, drawn.margins, strict=True), start=begin):
                _write_image(partial, recipe, *divmod(i, BATCH), *shown)
    return folder


def _write_image(level: Path, recipe: Recipe, batch: int, k: int, pixels: np.ndarray, label: int, margin: int) -> None:
    images, metadata = level / f"imgs/{batch}", level / f"metadata/{batch}.npy"
    images.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(images / f"sample_{k}.png", compress_level=1)
    with metadata.open("a") as file:
        file.write(_row(recipe, batch, k, label, margin))


def _row(recipe: Recipe, batch: int, k: int, label: int, margin: int) -> str:
    """The archive's columns: folder, file, number, label, continuity, paddles of a long snake and of a distractor,
    length, thickness and margin of a paddle, number of contrasts.
    """
    setting = recipe.setting
    shape = f"{setting.continuity} {recipe.long_paddles} {recipe.distractor_paddles}"
    paddle = f"{setting.paddle_length} {setting.paddle_thickness} {margin} 1"
    return f"imgs/{batch} sample_{k}.png {k} {label} {shape} {paddle}\n"


def main() -> None:
    """The command of the module's docstring."""
    parser = argparse.ArgumentParser(
        description="Write Pathfinder images in the layout of the Long Range Arena archive."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--resolution", type=int, default=32, choices=SETTINGS)
    parser.add_argument("--level", default="hard", choices=LEVELS)
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    write_release(chosen.folder, Recipe(chosen.resolution, chosen.level, chosen.images), chosen.seed)


if __name__ == "__main__":
    main()
