"""Full disks, read-only folders, missing permissions: one line, nothing lost, and the same command goes on later."""

import shutil
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest
from data.storage import files_no_larger_than, read_only, resize, small_disk, unprivileged
from data.web_server import CONTENT, SHA256, WebServer

from longrange.data.archives import unpack
from longrange.data.arrays import Arrays, ensure_arrays
from longrange.data.cache import Sequences, ensure_cache
from longrange.data.cifar_files import read_batch
from longrange.data.fetch import Source, fetch
from longrange.data.generate.listops import Recipe
from longrange.data.listops import ListOps
from longrange.data.listops_text import read_tsv
from longrange.data.mnist_files import read_images
from longrange.data.pathfinder_files import Listing
from longrange.data.pathfinder_files import read_images as read_drawings
from longrange.data.pathfinder_pixels import ensure_pixels
from longrange.data.retrieval_text import read_rows
from longrange.data.speech_clips import read_clip
from longrange.data.text import Text
from longrange.data.text_files import read as read_reviews
from longrange.errors import DataError

NUMBERS = np.arange(100_000).astype(np.uint8)
FULL = r"cannot be written \((No space left on device|File too large)\); make room or choose another place$"


def arrays(folder: Path) -> None:
    ensure_arrays(folder / "cache", ("train",), lambda split: Arrays(NUMBERS.reshape(100, -1), np.arange(100)))


def targets(folder: Path) -> None:
    """What fills the disk is the second, small file."""
    ensure_arrays(folder / "cache", ("train",), lambda split: Arrays(NUMBERS[:9000], np.arange(9000)))


def sequences(folder: Path) -> None:
    ensure_cache(folder / "cache", ("train",), lambda split: Sequences(NUMBERS, np.full(100, 1000), np.arange(100)))


def pixels(folder: Path) -> None:
    ensure_pixels(folder / "cache", 100, 1000, lambda: [(NUMBERS.reshape(100, -1), NUMBERS[:100])])


def unpacked(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as elsewhere:
        with files_no_larger_than(10**9), tarfile.open(f"{elsewhere}/a.tar", "w") as tar:
            Path(elsewhere, "file").write_bytes(NUMBERS)
            tar.add(Path(elsewhere, "file"), "cache/file")
        unpack(Path(elsewhere) / "a.tar", folder)


def generated(folder: Path) -> None:
    recipe = Recipe(min_length=8, max_length=30, train=1500, val=9, test=9)
    ListOps(data_dir=folder / "cache", cache_dir=folder / "c", recipe=recipe, batch_size=1).prepare_data()


def reviews(folder: Path) -> None:
    """What fills the disk is the file without a name that text is encoded into."""
    with tempfile.TemporaryDirectory() as elsewhere:
        for split in ("train", "test"):
            for label in ("neg", "pos"):
                place = Path(elsewhere, "aclImdb", split, label)
                place.mkdir(parents=True)
                for number in range(10):
                    (place / f"{number}.txt").write_text(f"{split} {label} {number} " + "very " * 1000)
        options = {"reviews_per_class": None, "min_freq": 1, "batch_size": 1, "download": False}
        Text(data_dir=elsewhere, cache_dir=folder / "cache", **options).prepare_data()


ALL = pytest.mark.parametrize("prepare", [arrays, targets, sequences, pixels, unpacked, generated, reviews])


def state(folder: Path) -> dict[str, bytes]:
    """All files but locks."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def roomy(monkeypatch):
    """There seems to be room enough: the disk fills up while it is written to."""
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**12))


@ALL
def test_a_disk_that_fills_up(tmp_path, roomy, prepare):
    (tmp_path / "cache").mkdir() if prepare in (unpacked, reviews) else None
    (tmp_path / "mine").write_bytes(b"precious")
    with files_no_larger_than(20_000), pytest.raises(DataError, match=FULL) as caught:
        prepare(tmp_path)
    assert "\n" not in str(caught.value)
    assert state(tmp_path) == {"mine": b"precious"}
    prepare(tmp_path)
    assert len(state(tmp_path)) > 2


@ALL
def test_a_small_file_system(tmp_path, roomy, prepare):
    with small_disk(tmp_path / "disk", "56k"):
        with pytest.raises(DataError, match=FULL):
            prepare(tmp_path / "disk")
        assert state(tmp_path / "disk") == {}
        resize(tmp_path / "disk", "8m")
        prepare(tmp_path / "disk")
        assert len(state(tmp_path / "disk")) > 1


@pytest.mark.parametrize("prepare", [pixels, unpacked, generated])
def test_too_little_space_is_noticed_before(tmp_path, prepare):
    with small_disk(tmp_path / "disk", "56k"):
        with pytest.raises(DataError, match=r"\d+ [kM]?B are free.*(choose another place)"):
            prepare(tmp_path / "disk")
        assert state(tmp_path / "disk") == {}


def test_a_damaged_cache_stays_until_there_is_room(tmp_path):
    arrays(tmp_path)
    file = tmp_path / "cache/train.inputs.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\x07")
    before = state(tmp_path)
    with files_no_larger_than(20_000), pytest.raises(DataError, match=FULL):
        arrays(tmp_path)
    assert state(tmp_path) == before
    arrays(tmp_path)
    assert state(tmp_path) != before


def test_a_download_goes_on_when_there_is_room(tmp_path, roomy):
    with WebServer() as web:
        source = Source(web.url, "file.bin", None, SHA256)
        with files_no_larger_than(100_000), pytest.raises(DataError, match=FULL):
            fetch(source, tmp_path)
        assert state(tmp_path)["file.bin.partial"] == CONTENT[:100_000]
        assert fetch(source, tmp_path).read_bytes() == CONTENT
        assert web.asked == [None, "bytes=100000-"]


@pytest.mark.parametrize("prepare", [arrays, sequences, pixels])
def test_prepared_data_may_be_read_only(tmp_path, prepare):
    prepare(tmp_path)
    with read_only(tmp_path):
        prepare(tmp_path)


@ALL
def test_a_read_only_place_is_one_line(tmp_path, prepare):
    with (
        read_only(tmp_path),
        pytest.raises(DataError, match=r"cannot be written \(Read-only file system\); choose another place$"),
    ):
        prepare(tmp_path)


READERS = {
    "basic_train.tsv": lambda path: read_tsv(path, 10),
    "pairs.tsv": lambda path: list(read_rows(path, "reading")),
    "data_batch_1": lambda path: read_batch(path, verify=False),
    "train-images-idx3-ubyte.gz": lambda path: read_images(path, verify=False),
    "x.wav": read_clip,
    "sample_0.png": lambda path: list(read_drawings([Listing(path, [path], np.zeros(1, np.uint8))], 32)),
    "aclImdb_v1.tar.gz": lambda path: read_reviews([path]),
    "train-0.parquet": lambda path: read_reviews([path]),
    "a.zip": lambda path: unpack(path, path.parent / "out"),
}


@pytest.fixture
def forbidden():
    """A folder that nobody may list, with a file of every kind that nobody may read."""
    folder = Path(tempfile.mkdtemp())
    for name in READERS:
        (folder / name).write_bytes(b"content")
        (folder / name).chmod(0)
    folder.chmod(0o777)
    yield folder
    folder.chmod(0o700)
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", READERS)
def test_files_that_may_not_be_read(forbidden, name):
    with unprivileged(), pytest.raises(DataError, match=rf"{name}.*Permission denied"):
        READERS[name](forbidden / name)


def test_a_place_that_may_not_be_written_to(forbidden):
    forbidden.chmod(0o555)
    with unprivileged(), pytest.raises(DataError, match=r"cannot be written \(Permission denied\); choose another"):
        arrays(forbidden)
