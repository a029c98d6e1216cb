"""The table of every task's data."""

import gzip
import hashlib

import pytest
from hydra.utils import instantiate
from image_files import write_mnist

from longrange.cli import CONFIG_DIR, compose
from longrange.data import mnist_files
from longrange.data.fetch import Source
from longrange.data.listops import ListOps
from longrange.data.mnist import Mnist
from longrange.data.status import print_failures, print_status
from longrange.diagnose import group_options
from longrange.errors import ConfigError, DataError

MD5 = f"md5:{hashlib.md5(b'archive').hexdigest()}"


class Task:
    """The part of a task that the table reads."""

    def __init__(self, folder, *sources, there=False):
        self.data_dir, self.cache_dir, self.sources, self.there = folder / "task", folder / "cache", sources, there
        self.data_dir.mkdir()

    def present(self) -> bool:
        if isinstance(self.there, Exception):
            raise self.there
        return self.there


@pytest.fixture
def row(capsys):
    def of(name, task) -> list[str]:
        print_status({"before": ConfigError("x"), name: task})
        line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(f"│ {name} "))
        return [cell.strip() for cell in line.split("│")[2:-1]]

    return of


@pytest.mark.parametrize(
    ("content", "checksum", "checked"),
    [
        (b"archive", MD5, "md5 right"),
        (b"other", MD5, "md5 of x.zip WRONG"),
        (None, MD5, "-"),
        (b"archive", None, "no checksum known"),
    ],
)
def test_a_downloaded_task(tmp_path, row, content, checksum, checked):
    task = Task(
        tmp_path, Source("https://www.host.org/x.zip", "x.zip", 84_000_000, checksum), there=content is not None
    )
    if content:
        (task.data_dir / "x.zip").write_bytes(content)
    expected = ["yes", f"{len(content)} B", "host.org", checked, ""] if content else None
    assert row("mine", task) == (expected or ["no", "", "host.org", "-", "data=mine, downloads 84 MB"])


@pytest.mark.parametrize(
    ("known", "checked"),
    [(True, "md5 right once unpacked"), (False, "md5 of train-images-idx3-ubyte.gz WRONG")],
)
def test_a_file_that_a_mirror_packed_anew(tmp_path, row, monkeypatch, known, checked):
    write_mnist(tmp_path / "raw")
    for path in (tmp_path / "raw").glob("*.gz"):
        digest = hashlib.md5(gzip.decompress(path.read_bytes())).hexdigest()
        if known or not path.name.startswith("train-images"):
            monkeypatch.setitem(mnist_files._PUBLISHED_MD5, path.stem, digest)
    assert checked in row("mine", Mnist(data_dir=tmp_path / "raw", batch_size=1))[3].split(", ")


def test_a_task_to_be_got_by_hand(tmp_path, row):
    task = Task(tmp_path, Source(None, "x.zip", by_hand="ask the author"))
    assert row("mine", task)[2:] == [
        "by hand",
        "no checksum known",
        f"by hand: ask the author, and put it at {task.data_dir / 'x.zip'}",
    ]


def test_a_generated_task_and_its_cache(made, tmp_path, recipe, row):
    task = ListOps(data_dir=tmp_path / "none", cache_dir=tmp_path / "cache", recipe=recipe, batch_size=4, name="mine")
    assert row("mine", task) == ["no", "", "generated", "-", "data=mine"]
    task = ListOps(data_dir=made, cache_dir=tmp_path / "cache", recipe=recipe, batch_size=4, name="mine")
    task.prepare_data()
    present, size, *_ = row("mine", task)
    assert present == "yes"
    assert size.endswith("kB cache")


def test_linked_files_count_once(tmp_path, row):
    task = Task(tmp_path, there=True)
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/file").write_bytes(b"12345")
    for name, target in {"one": "disk", "two": "disk", "round": "task", "gone": "nowhere"}.items():
        (task.data_dir / name).symlink_to(tmp_path / target)
    assert row("mine", task)[1] == "5 B"


def test_a_task_that_cannot_be_looked_at(tmp_path, row):
    assert row("mine", Task(tmp_path, there=DataError("no rights"))) == ["?", "", "", "", "no rights"]
    assert row("mine", ConfigError("wrong value")) == ["?", "", "", "", "wrong value"]


def test_a_task_that_does_not_say_what_is_there(row):
    assert row("mine", object())[-1] == "object has no present()"


def test_every_task_of_the_project(tmp_path, capsys):
    names = [name for name in group_options(CONFIG_DIR, "data") if name != "own"]
    overrides = [f"paths.data={tmp_path}"]
    print_status({name: instantiate(compose("prepare_data", [*overrides, f"data={name}"]).data) for name in names})
    rows = [[cell.strip() for cell in line.split("│")[1:3]] for line in capsys.readouterr().out.splitlines()]
    assert [row for row in rows if len(row) == 2] == [[name, "no"] for name in names]
    assert not list(tmp_path.iterdir())


def test_failures(capsys):
    print_failures({"mine": "no such [file]"}, prepared=3)
    printed = capsys.readouterr().out
    assert "3 prepared, 1 not" in printed
    assert "│ mine │ no such [file] │" in printed
