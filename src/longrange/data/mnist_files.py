"""The files of MNIST: unsigned bytes with a header of their dimensions ("idx"), as they are or packed with gzip."""

import gzip
import hashlib
import math
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from longrange.data.reasons import reason
from longrange.errors import DataError

N_CLASSES = 10
SIDE = 28

# Of the unpacked files: mirrors pack them anew.
_PUBLISHED_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
_MOST = 10**5  # examples in a file; the published ones have 60,000
_UNSIGNED_BYTES = 8


def read_images(path: Path, verify: bool) -> np.ndarray:
    """Images, row by row, (n, 784) uint8.

    Args:
        path: the file, under its published name with or without `.gz`.
        verify: refuse a file whose content differs from the published one in any bit.
    Raises:
        DataError: the file is missing, damaged or something else.
    """
    return _read(path, (SIDE, SIDE), verify).reshape(-1, SIDE * SIDE)


def read_labels(path: Path, verify: bool) -> np.ndarray:
    """Labels, (n,) int64; arguments and errors as in `read_images`."""
    labels = _read(path, (), verify)
    if labels.max() >= N_CLASSES:
        raise DataError(f"{path}: holds label {labels.max()}, not 0 to 9 alone; download it again")
    return labels.astype(np.int64)


def is_published(path: Path) -> bool:
    """Whether a file, under its published name with or without `.gz`, holds what was published, however packed."""
    try:
        with _opened(path) as file:
            content = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    except (OSError, EOFError, zlib.error):
        return False
    return content.hexdigest() == _PUBLISHED_MD5.get(path.name.removesuffix(".gz"))


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _read(path: Path, shape: tuple[int, ...], verify: bool) -> np.ndarray:
    try:
        with _opened(path) as file:
            header, values = _parse(file, shape)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        said = reason(getattr(error, "strerror", None) or error)
        raise DataError(f"{path}: not an MNIST file or damaged ({said}); download it again") from error
    expected = _PUBLISHED_MD5.get(path.name.removesuffix(".gz"))
    content = hashlib.md5(header, usedforsecurity=False)
    content.update(values)
    if verify and content.hexdigest() != expected:
        raise DataError(
            f"{path}: its content differs from the published file's (md5 {expected} expected); download it again, "
            f"or data.verify=false to take it as it is"
        )
    return np.frombuffer(values, np.uint8).reshape(-1, *shape)


def _parse(file: IO[bytes], shape: tuple[int, ...]) -> tuple[bytes, bytes]:
    """Header and values of an array (n, *shape)."""
    header = file.read(4 * (2 + len(shape)))
    if header[:4] != bytes([0, 0, _UNSIGNED_BYTES, 1 + len(shape)]):
        raise ValueError(f"it begins with {header[:4].hex(' ') or 'nothing'}")
    n, *rest = np.frombuffer(header, ">u4", offset=4).tolist()
    if tuple(rest) != shape or not 0 < n <= _MOST:
        raise ValueError(f"its dimensions are {(n, *rest)}")
    size = n * math.prod(shape)
    values = file.read(size + 1)
    if len(values) != size:
        raise ValueError(f"it holds {'more' if len(values) > size else 'less'} than the {size:,} values it announces")
    return header, values
