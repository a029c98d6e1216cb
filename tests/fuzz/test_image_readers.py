"""Readers of images get damaged files: one line of ours, or the images that were there where a checksum can tell.

A few cases in the suite; thousands, ever new ones: `FUZZ_CASES=5000 pytest tests/fuzz/test_*_readers.py`.
"""

import gzip
import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from fuzz.damage import damaged, fuzzed, outcome
from hypothesis import given
from image_files import idx, python2_pickle
from PIL import Image

from longrange.data import cifar_files
from longrange.data.cifar_files import read_batch
from longrange.data.mnist_files import read_images, read_labels
from longrange.data.pathfinder_files import read_images as read_drawings
from longrange.data.pathfinder_files import read_listings

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
BATCH = python2_pickle(RNG.integers(0, 256, (2, 3072), np.uint8), [3, 8])
DIGITS, LABELS = RNG.integers(0, 256, (3, 28, 28), np.uint8), np.array([7, 0, 9], np.uint8)
DRAWING = (RNG.random((32, 32)) < 0.3).astype(np.uint8) * 200
ROWS = b"".join(b"imgs/0 sample_%d.png %d %d 1.8 14 4 3 1.5 2 1\n" % (k, k, k % 2) for k in range(3))


def png() -> bytes:
    made = io.BytesIO()
    Image.fromarray(DRAWING).save(made, "PNG")
    return made.getvalue()


PNG = png()


@fuzzed(60)
@given(damaged(BATCH))
def test_cifar(tmp_path, content):
    path = tmp_path / "data_batch_1"
    path.write_bytes(content)
    read = outcome(lambda: read_batch(path, verify=False))
    if read:
        images, labels = read
        assert images.shape == (len(labels), 1024, 3)
        assert images.dtype == np.uint8
        assert len(labels) > 0
        assert set(labels) <= set(range(10))


@fuzzed()
@given(content=damaged(BATCH))
def test_cifar_with_its_checksum(tmp_path, monkeypatch, content):
    monkeypatch.setitem(cifar_files._PUBLISHED_MD5, "data_batch_1", hashlib.md5(BATCH).hexdigest())
    (tmp_path / "data_batch_1").write_bytes(content)
    assert (outcome(lambda: read_batch(tmp_path / "data_batch_1", verify=True)) is not None) == (content == BATCH)


@fuzzed(50)
@given(damaged(gzip.compress(idx(DIGITS), mtime=0)))
def test_mnist_packed(tmp_path, content):
    """What gzip's checksum covers is whole or refused."""
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    read = outcome(lambda: read_images(path, verify=False))
    assert read is None or np.array_equal(read, DIGITS.reshape(3, 784))


@fuzzed()
@given(damaged(idx(LABELS)))
def test_mnist(tmp_path, content):
    path = tmp_path / "train-labels-idx1-ubyte"
    path.write_bytes(content)
    read = outcome(lambda: read_labels(path, verify=False))
    assert read is None or (read.ndim == 1 and len(read) > 0 and set(read) <= set(range(10)))


def level(folder, image: bytes, rows: bytes):
    (folder / "imgs/0").mkdir(parents=True, exist_ok=True)
    (folder / "metadata").mkdir(exist_ok=True)
    for k in range(3):
        (folder / f"imgs/0/sample_{k}.png").write_bytes(image if k == 1 else PNG)
    (folder / "metadata/0.npy").write_bytes(rows)
    return folder


def drawings(folder):
    return list(read_drawings(read_listings(folder), 32))


@fuzzed(60)
@given(damaged(PNG))
def test_pathfinder_images(tmp_path, content):
    """What the checksums of the parts cover is whole or refused."""
    folder = level(tmp_path, content, ROWS)
    for pixels, labels in outcome(lambda: drawings(folder)) or []:
        assert np.array_equal(pixels, np.stack([DRAWING.ravel()] * 3))
        assert labels.tolist() == [0, 1, 0]


@fuzzed(40)
@given(damaged(ROWS))
def test_pathfinder_metadata(tmp_path, content):
    folder = level(tmp_path, PNG, content)
    for pixels, labels in outcome(lambda: drawings(folder)) or []:
        assert pixels.shape == (len(labels), 1024)
        assert set(labels) <= {0, 1}


def test_what_is_whole_is_read(tmp_path):
    """The fuzz tests would pass if everything were refused."""
    (tmp_path / "data_batch_1").write_bytes(BATCH)
    assert outcome(lambda: read_batch(tmp_path / "data_batch_1", verify=False))[1].tolist() == [3, 8]
    (tmp_path / "x.gz").write_bytes(gzip.compress(idx(DIGITS)))
    assert outcome(lambda: read_images(tmp_path / "x.gz", verify=False)).shape == (3, 784)
    (tmp_path / "y").write_bytes(idx(LABELS))
    assert outcome(lambda: read_labels(tmp_path / "y", verify=False)).tolist() == [7, 0, 9]
    assert outcome(lambda: drawings(level(tmp_path, PNG, ROWS)))[0][1].tolist() == [0, 1, 0]


def chain(size: int) -> bytes:
    """A pickle of tuples that hold themselves twice, the last one a key: 2 ** size steps to look it up."""
    return b"\x80\x02}(" + b")" + b"q\x00h\x00\x86" * size + b"K\x01u."


@pytest.mark.parametrize(
    "content",
    [
        chain(60),
        b"\x80\x02" + b"]" * 2_000_000 + b".",
        b"\x80\x05\x96" + b"\xff" * 7 + b"\x3f.",
        b"\x80\x02\x8b\xff\xff\xff\x7f.",
        b"\x80\x04" + b"(" * 1_000_000 + b"t.",
    ],
    ids=["keys without end", "two million lists", "2**62 bytes", "a number of 2 GB", "a million marks"],
)
def test_bombs_in_pickles(tmp_path, content):
    (tmp_path / "data_batch_1").write_bytes(content)
    assert outcome(lambda: read_batch(tmp_path / "data_batch_1", verify=False)) is None


@pytest.mark.parametrize("side", [33, 20_000, 2**31 - 1])
def test_large_images(tmp_path, side):
    header = b"IHDR" + struct.pack(">2I", side, side) + PNG[24:29]
    content = PNG[:12] + header + struct.pack(">I", zlib.crc32(header)) + PNG[33:]
    assert outcome(lambda: drawings(level(tmp_path, content, ROWS))) is None


@pytest.mark.parametrize("kind", ["EPS", "GIF", "BMP", "TIFF", "WEBP"])
def test_other_formats_are_not_opened(tmp_path, monkeypatch, kind):
    """Some formats make Pillow call other programs."""
    made = io.BytesIO()
    Image.fromarray(DRAWING).save(made, kind)
    monkeypatch.setattr("subprocess.Popen", lambda *arguments, **options: pytest.fail("a program was called"))
    assert outcome(lambda: drawings(level(tmp_path, made.getvalue(), ROWS))) is None
