"""Pathfinder as published: PNG files and their metadata in the Long Range Arena archive."""

import io
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from longrange.data.generate.pathfinder import FOLDERS, Recipe
from longrange.data.progress import progress_bar
from longrange.errors import DataError

log = logging.getLogger(__name__)

# The archive holds a second copy of some folders one level up; what papers read is the inner one, so it comes first.
_PLACES = ("lra_release/lra_release", "lra_release", ".")
_EMPTY_IN_ARCHIVE = "pathfinder32/curv_baseline/imgs/0/sample_172.png"
_NAMED_FAULTS = 3
_LARGEST = 10**6  # bytes of an image; the published ones have at most some ten thousand
_LONGEST = 10**8  # bytes of metadata; 1,000 rows have 60,000


class Listing(NamedTuple):
    """One metadata file.

    Attributes:
        source: the file.
        images: the images it lists, in its order.
        labels: (n,) uint8.
    """

    source: Path
    images: list[Path]
    labels: np.ndarray


def find_level(data_dir: Path, recipe: Recipe) -> Path:
    """The level's folder; `data_dir` is the archive's root or any folder in it down to the resolution's.

    Raises:
        DataError: it is not there.
    """
    level = FOLDERS[recipe.level]
    places = [data_dir / place / f"pathfinder{recipe.resolution}" for place in _PLACES]
    if data_dir.name == f"pathfinder{recipe.resolution}":
        places.insert(0, data_dir)
    for place in places:
        if (place / level / "metadata").is_dir():
            return place / level
    raise DataError(
        f"{data_dir}: no pathfinder{recipe.resolution}/{level}/metadata; data.data_dir must be the unpacked archive, "
        f"its folder lra_release or pathfinder{recipe.resolution}, or be absent or empty to have images generated"
    )


def read_listings(level: Path) -> list[Listing]:
    """All metadata of a level, by the number in the files' names.

    The one image that is known to be empty in the archive is left out, with a warning.

    Raises:
        DataError: there is none, or a file or row is at fault.
    """
    files = sorted((path for path in (level / "metadata").glob("*.npy") if path.stem.isdecimal()), key=_number)
    if not files:
        raise DataError(f"{level}/metadata: no files 0.npy, 1.npy, ...; unpack the archive again")
    return [_read_listing(level, file) for file in files]


def read_images(listings: list[Listing], resolution: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Decode all images in order, a listing at a time; progress is shown.

    Args:
        listings: from `read_listings`.
        resolution: what every image must measure.
    Yields:
        pixels (n, R * R) uint8, labels (n,) uint8.
    Raises:
        DataError: at the end, images were missing or damaged; names the first ones and their number.
    """
    total, faults = sum(len(listing.images) for listing in listings), []
    with progress_bar() as progress, ThreadPoolExecutor(os.cpu_count()) as pool:
        task = progress.add_task("reading images", total=total)
        for listing in listings:
            pixels = np.zeros((len(listing.images), resolution * resolution), np.uint8)
            read = pool.map(_decode, listing.images, [resolution] * len(pixels))
            for i, (image, fault) in enumerate(read):
                if fault:
                    faults.append(f"{listing.images[i]} ({fault})")
                else:
                    pixels[i] = image.ravel()
            progress.advance(task, len(pixels))
            yield pixels, listing.labels
    if faults:
        named = ", ".join(faults[:_NAMED_FAULTS]) + (", ..." if len(faults) > _NAMED_FAULTS else "")
        raise DataError(f"{len(faults):,} of {total:,} images missing or damaged: {named}; unpack the archive again")


def _number(path: Path) -> int:
    return int(path.stem)


def _strange(name: str) -> bool:
    """Whether it is no name of the archive's: outside its folder, or one that no file has."""
    return len(name) > 255 or not name.isprintable() or name.startswith("/") or ".." in name.split("/")


def _read_listing(level: Path, file: Path) -> Listing:
    try:
        if file.stat().st_size > _LONGEST:
            raise DataError(f"{file}: larger than any metadata; unpack the archive again")
        rows = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); unpack the archive again") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not text; the archive's metadata are text whatever their names say") from error
    images, labels = [], []
    for line, row in enumerate(rows, start=1):
        columns = row.split()
        if len(columns) < 4 or columns[3] not in ("0", "1"):
            raise DataError(f"{file}, line {line}: not a row of metadata with a label 0 or 1 in column 4")
        if _strange(columns[0]) or _strange(columns[1]):
            raise DataError(f"{file}, line {line}: names no image of the archive; unpack the archive again")
        image = level / columns[0] / columns[1]
        if image.as_posix().endswith(_EMPTY_IN_ARCHIVE) and image.is_file() and image.stat().st_size == 0:
            log.warning("%s: empty in the published archive; left out", image)
            continue
        images.append(image)
        labels.append(int(columns[3]))
    return Listing(file, images, np.array(labels, np.uint8))


def _decode(path: Path, resolution: int) -> tuple[np.ndarray | None, str]:
    """The image, or what is wrong with it."""
    try:
        size = path.stat().st_size
        if not 0 < size <= _LARGEST:
            return None, "too large" if size else "empty"
        content = path.read_bytes()
        with _png(content) as image:
            if image.size != (resolution, resolution):  # looked at first: a small file may stand for any number
                return None, f"{image.width} x {image.height} pixels"
            image.verify()  # the checksums of the parts, which decoding alone passes over
        with _png(content) as image:
            return np.asarray(image if image.mode == "L" else image.convert("L")), ""
    except FileNotFoundError:
        return None, "missing"
    except OSError as error:
        return None, error.strerror or "damaged"
    except Exception:  # the decoder's own errors are of many kinds
        return None, "damaged"


def _png(content: bytes) -> Image.Image:
    """An image that is a PNG; other formats that Pillow knows call programs."""
    return Image.open(io.BytesIO(content), formats=["PNG"])
