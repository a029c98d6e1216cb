"""Are two sets of Pathfinder images alike? A table of what can be measured, and a sheet for the eye.

`python -m longrange.data.generate.likeness ONE OTHER [--sheet sheet.png]`; each set is an .npy file of images
(n, R, R) or (n, R * R) uint8, such as the `pixels.npy` of a cache, or a .json file of statistics by resolution, such as
`tests/golden/pathfinder_statistics.json` of published images, which is shown for the other set's resolution.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from numba import njit
from PIL import Image
from rich.console import Console
from rich.table import Table

from longrange.data.arrays import mapped
from longrange.data.generate.pathfinder_tables import SETTINGS, disc_picture

LIT, BRIGHT = 40, 200
_QUARTILES = (0.25, 0.5, 0.75)
_CORE = 100  # pixels of a disc at least this bright decide where one is
_SHEET_COLUMNS, _GAP, _EDGE = 4, 4, 256


def measure(images: np.ndarray) -> dict[str, float]:
    """Statistics of a set of images.

    Args:
        images: (n, R, R) uint8, R one of the published resolutions.
    Returns:
        By name: shares of pixels lit and bright, mean gray level, spreads over images, darkness of the edge, quartiles
        of the distance between the two discs as a share of the edge's length, and of the sizes of connected lit
        regions in pixels: paddles, where they do not touch.
    """
    rows, size = images.reshape(len(images), -1), images.shape[1]
    lit, gray = (rows > LIT).mean(axis=1), rows.mean(axis=1)
    distances, sizes = disc_distances(images) / size, np.concatenate([region_sizes(image > LIT) for image in images])
    return {
        "lit pixels, %": 100 * lit.mean(),
        "their spread over images, %": 100 * lit.std(),
        "bright pixels, %": 100 * (rows > BRIGHT).mean(),
        "mean gray level": gray.mean(),
        "its spread over images": gray.std(),
        "gray level of the outer two rows": images[:, [0, 1, -2, -1]].mean(),
        "gray level of the middle": images[:, size // 3 : -size // 3, size // 3 : -size // 3].mean(),
        **{f"distance of the discs, {100 * q:.0f}%": np.quantile(distances, q) for q in _QUARTILES},
        **{f"connected pixels, {100 * q:.0f}%": np.quantile(sizes, q) for q in _QUARTILES},
    }


@njit(cache=True)
def region_sizes(lit: np.ndarray) -> np.ndarray:
    """Pixels in each connected region (of four neighbours), (regions,) int64: from (R, R) bool."""
    size, waiting, sizes = len(lit), [(0, 0)], [0]
    left = lit.copy()
    for y in range(size):
        for x in range(size):
            waiting.append((y, x))
            count = 0
            while len(waiting) > 0:
                i, j = waiting.pop()
                if 0 <= i < size and 0 <= j < size and left[i, j]:
                    left[i, j] = False
                    count += 1
                    waiting.extend([(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)])
            if count > 0:
                sizes.append(count)
    return np.array(sizes[1:])


def disc_distances(images: np.ndarray) -> np.ndarray:
    """Pixels between the two discs of each image, (n,): from (n, R, R) uint8."""
    places = np.stack([find_discs(image) for image in images])
    return np.hypot(*(places[:, 0] - places[:, 1]).T)


def find_discs(image: np.ndarray) -> np.ndarray:
    """The two places that look most like a disc, brightest first: (R, R) uint8 to (2, 2) int64, as (y, x)."""
    size, picture = len(image), disc_picture(SETTINGS[len(image)]).astype(float)
    half = len(picture) // 2
    padded = np.pad(image.astype(float), half)
    score = np.full(image.shape, np.inf)
    for y, x in np.argwhere(picture >= _CORE):
        np.minimum(score, padded[y : y + size, x : x + size] / picture[y, x], out=score)
    first = np.array(np.unravel_index(score.argmax(), score.shape))
    score[tuple(slice(max(0, at - 1), at + 2) for at in first)] = 0
    return np.stack([first, np.unravel_index(score.argmax(), score.shape)])


def print_table(columns: dict[str, dict[str, float]]) -> None:
    """Print the statistics of several sets side by side: by heading, what `measure` found and the number of images."""
    table = Table("", *columns)
    for name in next(iter(columns.values())):
        decimals = 0 if name == "images" else 3
        table.add_row(name, *(f"{values[name]:,.{decimals}f}" if name in values else "" for values in columns.values()))
    Console().print(table)


def contact_sheet(sets: list[np.ndarray], path: Path) -> None:
    """Write the first 16 images of each set, one set beside the other, enlarged to about 256 pixels each."""
    panels = [_panel(images[: _SHEET_COLUMNS**2]) for images in sets]
    gap = np.full((len(panels[0]), 4 * _GAP), 255, np.uint8)
    Image.fromarray(np.hstack([part for panel in panels for part in (panel, gap)][:-1])).save(path)


def _panel(images: np.ndarray) -> np.ndarray:
    factor = max(1, _EDGE // images.shape[1] // 2)
    large = images.repeat(factor, axis=1).repeat(factor, axis=2)
    framed = np.pad(large, ((0, 0), (0, _GAP), (0, _GAP)), constant_values=128)
    return np.vstack([np.hstack(list(row)) for row in framed.reshape(-1, _SHEET_COLUMNS, *framed.shape[1:])])


def _load(path: Path) -> np.ndarray:
    images = mapped(path)[:2000]
    side = round(images[0].size ** 0.5)
    return images.reshape(-1, side, side)


def main() -> None:
    """The command of the module's docstring."""
    parser = argparse.ArgumentParser(description="Compare two sets of Pathfinder images.")
    parser.add_argument("sets", type=Path, nargs=2)
    parser.add_argument("--sheet", type=Path)
    chosen = parser.parse_args()
    sets = {path: _load(path) for path in chosen.sets if path.suffix != ".json"}
    sizes = {str(images.shape[1]) for images in sets.values()}
    if len(sizes) != 1:
        parser.error("images of one resolution are needed")
    (size,) = sizes
    known = {path: json.loads(path.read_text())[size] for path in chosen.sets if path not in sets}
    found = {path: {"images": len(images), **measure(images)} for path, images in sets.items()}
    print_table({path.name: (known | found)[path] for path in chosen.sets})
    if chosen.sheet:
        contact_sheet(list(sets.values()), chosen.sheet)


if __name__ == "__main__":
    main()
