"""Small image files in their publishers' layouts."""

import gzip
import struct
import tarfile
from pathlib import Path

import numpy as np

CIFAR_FILES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")


def python2_pickle(images: np.ndarray, labels: list[int]) -> bytes:
    """A batch file as Python 2's cPickle wrote the published ones (protocol 2; strings are bytes).

    Args:
        images: (n, 3072) uint8.
        labels: n integers below 256.
    """
    array_type = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"".join(b"J" + struct.pack("<i", size) for size in images.shape) + b"\x86"
    raw = b"T" + struct.pack("<i", images.nbytes) + images.tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    array += b"(K\x01" + shape + array_type + b"\x89" + raw + b"tb"
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(U\x0bbatch_labelU\x04madeU\x06labels" + numbers + b"U\x04data" + array + b"u."


def write_cifar(folder: Path, per_batch: int = 20) -> dict[str, tuple[np.ndarray, list[int]]]:
    """Six batch files with random images; every label occurs.

    Returns:
        By file: (n, 3072) uint8, all red values, then green, then blue; labels.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    batches = {}
    for name in CIFAR_FILES:
        images = rng.integers(0, 256, (per_batch, 3072), np.uint8)
        batches[name] = images, rng.permutation(np.arange(per_batch) % 10).tolist()
        (folder / name).write_bytes(python2_pickle(*batches[name]))
    return batches


def pack_cifar(folder: Path, archive: Path) -> None:
    """The batch files of `folder` as the published archive has them."""
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, "cifar-10-batches-py")


def idx(values: np.ndarray) -> bytes:
    """Bytes with a header of their dimensions, as MNIST's files have them."""
    return struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


def write_mnist(folder: Path, train: int = 50, test: int = 20, packed: bool = True) -> dict[str, np.ndarray]:
    """The four files with random images; every label occurs.

    Returns:
        By the beginning of the file's name ("train-images" and so on): its array.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    arrays = {}
    for stem, count in (("train", train), ("t10k", test)):
        arrays[f"{stem}-images"] = rng.integers(0, 256, (count, 28, 28), np.uint8)
        arrays[f"{stem}-labels"] = rng.permutation(np.arange(count) % 10).astype(np.uint8)
    for name, values in arrays.items():
        path = folder / f"{name}-idx{values.ndim}-ubyte{'.gz' * packed}"
        path.write_bytes(gzip.compress(idx(values)) if packed else idx(values))
    return arrays
