"""CIFAR-10's batch files: the published layout is read, whatever else a pickle holds is refused and never run."""

import hashlib
import pickle
import re
import subprocess

import numpy as np
import pytest
from image_files import python2_pickle

from longrange.data import cifar_files
from longrange.data.cifar_files import read_batch
from longrange.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 3072), np.uint8)
LABELS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]
PUBLISHED = python2_pickle(IMAGES, LABELS)


@pytest.fixture
def batch(tmp_path):
    return tmp_path / "data_batch_1"


def test_the_generated_files_are_pickles_to_python_too():
    fields = pickle.loads(PUBLISHED, encoding="bytes")
    assert np.array_equal(fields[b"data"], IMAGES)
    assert (fields[b"labels"], fields[b"batch_label"]) == (LABELS, b"made")


@pytest.mark.parametrize("protocol", [None, 2, 3, 4])
@pytest.mark.parametrize("keys", [bytes, str])
def test_images_come_pixel_by_pixel(batch, protocol, keys):
    names = [name.encode() if keys is bytes else name for name in ("data", "labels")]
    content = pickle.dumps(dict(zip(names, [IMAGES, LABELS], strict=True)), protocol) if protocol else PUBLISHED
    batch.write_bytes(content)
    images, labels = read_batch(batch, verify=False)
    assert images.shape == (12, 1024, 3)
    assert np.array_equal(images[5, 33], IMAGES[5, [33, 1024 + 33, 2048 + 33]])
    assert np.array_equal(images.transpose(0, 2, 1).reshape(12, 3072), IMAGES)
    assert labels.dtype == np.int64
    assert labels.tolist() == LABELS


def test_images_stored_column_by_column(batch):
    batch.write_bytes(pickle.dumps({b"data": np.asfortranarray(IMAGES), b"labels": LABELS}, 2))
    assert np.array_equal(read_batch(batch, verify=False)[0].transpose(0, 2, 1).reshape(12, 3072), IMAGES)


def test_the_published_checksum_is_asked_for(batch, monkeypatch):
    batch.write_bytes(PUBLISHED)
    with pytest.raises(DataError, match=r"data_batch_1: differs from the published file \(md5 c99caf\w+ expected\)"):
        read_batch(batch, verify=True)
    monkeypatch.setitem(cifar_files._PUBLISHED_MD5, "data_batch_1", hashlib.md5(PUBLISHED).hexdigest())
    assert read_batch(batch, verify=True)[1].tolist() == LABELS


class Calls:
    """Something that is called when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (Calls(subprocess.call, ["touch", "ran"]), "it asks for (subprocess|commands).call"),
        (Calls(eval, "open('ran', 'w')"), r"it asks for (__builtin__|builtins).eval"),
        (Calls(np.load, "elsewhere.npy"), "it asks for numpy"),
        ({b"data": Calls(getattr, IMAGES, "tofile"), b"labels": []}, "it asks for"),
        ({b"data": IMAGES.astype(np.int16), b"labels": LABELS}, "an array of 'i2', not of bytes"),
        ({b"data": np.array([{}] * 12, object), b"labels": LABELS}, "an array of 'O8', not of bytes"),
        ({b"data": IMAGES[:, :100], b"labels": LABELS}, r"no array of images, \(n, 3072\) bytes"),
        ({b"data": IMAGES[0], b"labels": LABELS}, r"no array of images, \(n, 3072\) bytes"),
        ({b"data": b"bytes", b"labels": LABELS}, r"no array of images, \(n, 3072\) bytes"),
        ({b"data": IMAGES, b"fine_labels": LABELS}, "no list of labels from 0 to 9"),
        ({b"data": IMAGES, b"labels": [*LABELS[:-1], 10]}, "no list of labels from 0 to 9"),
        ({b"data": IMAGES, b"labels": [*LABELS[:-1], True]}, "no list of labels from 0 to 9"),
        ({b"data": IMAGES, b"labels": LABELS[:-1]}, "12 images but 11 labels"),
        ({b"data": IMAGES[:0], b"labels": []}, "(0 images but 0 labels|it asks for)"),
        (["data", "labels"], "not a dictionary"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_other_pickles_are_refused_and_not_run(batch, tmp_path, monkeypatch, content, reason, protocol):
    monkeypatch.chdir(tmp_path)
    batch.write_bytes(pickle.dumps(content, protocol))
    with pytest.raises(DataError, match=rf"data_batch_1: not a CIFAR-10 batch file \({reason}.*unpack .* again$"):
        read_batch(batch, verify=False)
    assert [path.name for path in tmp_path.iterdir()] == ["data_batch_1"]


ARRAY = b"cnumpy\nndarray\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>404</html>",
        b"\x80\x02}q\x00.",
        b"\x80\x02r\xff\xff\xff\x7f.",
        b"\x80\x02cnumpy\ndtype\n)R}b.",  # a type without a name
        b"\x80\x02" + ARRAY + b"}b.",  # state for the class itself
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00utf-8\x86R}b.",
        b"\x80\x02}(U\x04data" + ARRAY + b")RU\x06labels](K\x01eu.",  # an array without content
        b"\x80\x02}(U\x04data" + ARRAY + b")R(K\x01K\x09M\x00\x0c\x86N\x89U\x02xxtbU\x06labels](K\x01eu.",
        PUBLISHED.replace(b"u1", b"i8"),
        PUBLISHED.replace(b"numpy\nndarray", b"numpy\nmatrix"),
        *(PUBLISHED[:length] for length in (1, 30, 200, 20_000, len(PUBLISHED) - 1)),
    ],
)
def test_damage_is_one_line(batch, content):
    batch.write_bytes(content)
    with pytest.raises(DataError, match=r"data_batch_1: not a CIFAR-10 batch file \([^()\n]+.*unpack") as error:
        read_batch(batch, verify=False)
    assert "\n" not in str(error.value)


def test_random_damage_never_escapes(batch):
    rng = np.random.default_rng(3)
    for _ in range(300):
        content = bytearray(PUBLISHED[:400] + PUBLISHED[-60:])
        for place in rng.integers(0, len(content), 3):
            content[place] = rng.integers(256)
        batch.write_bytes(content)
        with pytest.raises(DataError, match=re.escape(str(batch))):
            read_batch(batch, verify=False)


def test_a_missing_and_a_huge_file(batch, monkeypatch):
    with pytest.raises(DataError, match=r"data_batch_1: cannot be read \(No such file or directory\)"):
        read_batch(batch, verify=False)
    batch.write_bytes(PUBLISHED)
    monkeypatch.setattr(cifar_files, "_LARGEST", 1000)
    with pytest.raises(DataError, match="larger than any CIFAR-10 batch file"):
        read_batch(batch, verify=False)
