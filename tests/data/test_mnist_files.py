"""MNIST's files, packed or not; whatever is damaged is named in one line."""

import gzip
import hashlib
import re

import numpy as np
import pytest
from image_files import idx

from longrange.data import mnist_files
from longrange.data.mnist_files import is_published, read_images, read_labels
from longrange.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 28, 28), np.uint8)
LABELS = np.array([3, 1, 4, 1, 5, 9, 2], np.uint8)


@pytest.fixture(params=["", ".gz"])
def images(request, tmp_path):
    """Writes a file's content, packed or not; returns its path."""

    def write(content: bytes):
        path = tmp_path / f"train-images-idx3-ubyte{request.param}"
        path.write_bytes(gzip.compress(content) if request.param else content)
        return path

    return write


def test_images_row_by_row(images):
    assert np.array_equal(read_images(images(idx(IMAGES)), verify=False), IMAGES.reshape(7, 784))


def test_labels(tmp_path):
    path = tmp_path / "t10k-labels-idx1-ubyte"
    path.write_bytes(idx(LABELS))
    labels = read_labels(path, verify=False)
    assert labels.dtype == np.int64
    assert labels.tolist() == LABELS.tolist()
    path.write_bytes(idx(LABELS + 1))
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte: holds label 10, not 0 to 9 alone"):
        read_labels(path, verify=False)


def test_the_published_content_is_asked_for_however_packed(images, monkeypatch):
    content = idx(IMAGES)
    with pytest.raises(DataError, match=r"its content differs from the published file's \(md5 6bbc9ace\w+ expected\)"):
        read_images(images(content), verify=True)
    monkeypatch.setitem(mnist_files._PUBLISHED_MD5, "train-images-idx3-ubyte", hashlib.md5(content).hexdigest())
    assert len(read_images(images(content), verify=True)) == 7


def test_published_content_is_known_however_packed(images, monkeypatch):
    content = idx(IMAGES)
    assert not is_published(images(content))
    monkeypatch.setitem(mnist_files._PUBLISHED_MD5, "train-images-idx3-ubyte", hashlib.md5(content).hexdigest())
    path = images(content)
    assert is_published(path)
    path.write_bytes(path.read_bytes()[:-9])
    assert not is_published(path)
    path.unlink()
    assert not is_published(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it begins with nothing"),
        (b"<html>404", "it begins with 3c 68 74 6d"),
        (idx(LABELS), "it begins with 00 00 08 01"),
        (b"\0\0\x0d" + idx(IMAGES)[3:], "it begins with 00 00 0d 03"),
        (idx(IMAGES)[:10], ""),
        (idx(IMAGES[:0]), r"its dimensions are \(0, 28, 28\)"),
        (idx(IMAGES[:, :27]), r"its dimensions are \(7, 27, 28\)"),
        (b"\0\0\x08\x03" + b"\xff" * 4 + idx(IMAGES)[8:], r"its dimensions are \(4294967295, 28, 28\)"),
        (idx(IMAGES)[:-1], "it holds less than the 5,488 values it announces"),
        (idx(IMAGES) + b"\0", "it holds more than the 5,488 values it announces"),
    ],
)
def test_other_content(images, content, reason):
    path = images(content)
    with pytest.raises(DataError, match=rf"{path.name}: not an MNIST file or damaged \({reason}.*download it again$"):
        read_images(path, verify=False)


@pytest.mark.parametrize("damage", [lambda c: c[:-20], lambda c: c[:5], lambda c: c[:2000] + b"\xff" * 50 + c[2050:]])
def test_damaged_packing(tmp_path, damage):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(gzip.compress(idx(IMAGES))))
    with pytest.raises(DataError, match=re.escape(f"{path}: not an MNIST file or damaged (")):
        read_images(path, verify=False)


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.gz: not an MNIST file or damaged \(No such file or directory\)"):
        read_images(tmp_path / "nowhere.gz", verify=False)
