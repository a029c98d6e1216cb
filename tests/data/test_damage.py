"""Every task: what was damaged on the disk, prepared or not yet prepared, is noticed before anything trains on it."""

import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bidmc_files import write_recording, write_ts
from data.web_server import WebServer
from image_files import pack_cifar, write_cifar, write_mnist
from wave_files import write_words

from longrange.data import bidmc, speech_commands
from longrange.data.bidmc import Bidmc
from longrange.data.cifar import Cifar
from longrange.data.fetch import Source
from longrange.data.generate.listops import Recipe as Expressions
from longrange.data.generate.pathfinder import Recipe as Images
from longrange.data.generate.pathfinder_release import write_release
from longrange.data.listops import ListOps
from longrange.data.mnist import Mnist
from longrange.data.module import SequenceDataModule
from longrange.data.pathfinder import Pathfinder
from longrange.data.retrieval import FILES, Retrieval
from longrange.data.speech_clips import COMMANDS
from longrange.data.speech_commands import SpeechCommands
from longrange.data.text import Text
from longrange.errors import DataError

SHARED = {"batch_size": 2}


def listops(folder: Path) -> SequenceDataModule:
    recipe = Expressions(min_length=8, max_length=30, train=30, val=9, test=9)
    return ListOps(data_dir=folder / "data", cache_dir=folder / "cache", recipe=recipe, **SHARED)


def packed(archive: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def text(folder: Path) -> SequenceDataModule:
    reviews = {f"aclImdb/{split}/{label}/{n}.txt": f"{split} {label} {n}".encode()
               for split in ("train", "test") for label in ("neg", "pos") for n in range(10)}  # fmt: skip
    if not (folder / "aclImdb_v1.tar.gz").exists():
        packed(folder / "aclImdb_v1.tar.gz", reviews)
    return Text(data_dir=folder, cache_dir=folder / "cache", reviews_per_class=10, min_freq=1, download=False, **SHARED)


def retrieval(folder: Path) -> SequenceDataModule:
    pairs = {f"lra_release/lra_release/tsv_data/{file}": b"1\tA\tB\tone text\tanother\n0\tA\tC\tx\ty\n" * 5
             for file in FILES.values()}  # fmt: skip
    if not (folder / "lra_release.gz").exists():
        packed(folder / "lra_release.gz", pairs)
    return Retrieval(data_dir=folder, cache_dir=folder / "cache", download=False, **SHARED)


def image(folder: Path, **options) -> SequenceDataModule:
    if not (folder / "cifar-10-python.tar.gz").exists():
        write_cifar(folder / "made")
        pack_cifar(folder / "made", folder / "cifar-10-python.tar.gz")
        shutil.rmtree(folder / "made")
    return Cifar(data_dir=folder, cache_dir=folder / "cache", verify=False, download=False, **options, **SHARED)


def scifar(folder: Path) -> SequenceDataModule:
    return image(folder, colour=True, name="scifar")


def smnist(folder: Path) -> SequenceDataModule:
    if not (folder / "data").exists():
        write_mnist(folder / "data")
    return Mnist(data_dir=folder / "data", cache_dir=folder / "cache", verify=False, download=False, **SHARED)


def pathfinder(folder: Path) -> SequenceDataModule:
    if not (folder / "data").exists():
        write_release(folder / "data", Images(images=20), seed=0)
    return Pathfinder(data_dir=folder / "data", cache_dir=folder / "cache", recipe=Images(images=20), **SHARED)


def drawn(folder: Path) -> SequenceDataModule:
    return Pathfinder(data_dir=folder / "data", cache_dir=folder / "cache", recipe=Images(images=20), **SHARED)


def sc10(folder: Path, **options) -> SequenceDataModule:
    if not (folder / "speech_commands_v0.02.tar.gz").exists():
        write_words(folder / "made", COMMANDS, each=7)
        with tarfile.open(folder / "speech_commands_v0.02.tar.gz", "w:gz", compresslevel=1) as tar:
            tar.add(folder / "made", ".")
        shutil.rmtree(folder / "made")
    options = {"name": "sc10"} | options
    return SpeechCommands(data_dir=folder, cache_dir=folder / "cache", words=10, download=False, **options, **SHARED)


def sc10_mfcc(folder: Path) -> SequenceDataModule:
    return sc10(folder, features="mfcc", name="sc10_mfcc")


def bidmc_ts(folder: Path) -> SequenceDataModule:
    return Bidmc(data_dir=folder, cache_dir=folder / "cache", target="HR", name="bidmc_hr", **SHARED)


def bidmc_tables(folder: Path) -> SequenceDataModule:
    archive = folder / bidmc.TABLES.name
    if not archive.exists():
        write_recording(folder, 1, "s01")
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as tables:
            for file in folder.glob("bidmc_01_*"):
                tables.write(file, f"bidmc/{file.name}")
                file.unlink()
    options = {"target": "RR", "source": "tables", "name": "bidmc_rr", "download": False}
    return Bidmc(data_dir=folder, cache_dir=folder / "cache", **options, **SHARED)


# The file that is damaged where the cache has not been made yet.
TASKS: dict[Callable, str | None] = {
    listops: "data/basic_val.tsv",
    text: "aclImdb_v1.tar.gz",
    retrieval: "lra_release/lra_release/tsv_data/new_aan_pairs.eval.tsv",
    image: "cifar-10-batches-py/data_batch_3",
    scifar: "cifar-10-batches-py/test_batch",
    smnist: "data/train-images-idx3-ubyte.gz",
    pathfinder: "data/pathfinder32/curv_contour_length_14/imgs/0/sample_7.png",
    drawn: None,
    sc10: "left/0003_nohash_0.wav",
    sc10_mfcc: "go/0001_nohash_0.wav",
    bidmc_ts: "BIDMC32HR_TEST.ts",
    bidmc_tables: "bidmc/bidmc_01_Signals.csv",
}


@pytest.fixture
def published(monkeypatch, tmp_path):
    """What can only be downloaded comes from this machine."""
    rng = np.random.default_rng(0)
    write_ts(tmp_path / "made.ts", rng.random((10, 4000, 2)).astype(np.float32).round(3), range(10))
    with WebServer() as web:
        web.content = (tmp_path / "made.ts").read_bytes()
        (tmp_path / "made.ts").unlink()
        names = [f"BIDMC32HR_{part}.ts" for part in ("TRAIN", "TEST")]
        monkeypatch.setattr(Bidmc, "sources", [Source(web.url, name) for name in names])
        monkeypatch.setattr(bidmc, "RECORDINGS", 1)
        monkeypatch.setattr(speech_commands, "ARCHIVE", replace(speech_commands.ARCHIVE, checksum=None))
        yield tmp_path


def damage(path: Path, kind: str) -> None:
    """Change a file and let the time of its last writing be what it was."""
    content, before = path.read_bytes(), path.stat()
    middle = len(content) // 2
    damaged = {
        "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "truncated": content[:middle],
        "empty": b"",
        "foreign": b"<html><body>404 Not Found</body></html>",
    }
    path.unlink()
    path.write_bytes(damaged[kind])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cached(folder: Path) -> dict[str, bytes]:
    files = (path for path in (folder / "cache").rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("make", TASKS)
def test_a_damaged_cache(published, caplog, make):
    make(published).prepare_data()
    whole = cached(published)
    assert len(whole) >= 3
    for number, (name, kind) in enumerate(
        zip(whole, ["flipped", "truncated", "flipped", "foreign"] * 3, strict=False), 1
    ):
        damage(published / name, kind)
        make(published).prepare_data()
        assert cached(published) == whole
        assert sum("making the prepared data again" in message for message in caplog.messages) == number


@pytest.mark.parametrize("kind", ["flipped", "truncated", "empty", "foreign"])
@pytest.mark.parametrize("make", [make for make in TASKS if TASKS[make]])
def test_a_damaged_source(published, make, kind):
    make(published).prepare_data()
    whole, source = cached(published), published / TASKS[make]
    shutil.rmtree(published / "cache")
    content = source.read_bytes()
    damage(source, kind)
    with pytest.raises(DataError, match=source.name) as caught:
        make(published).prepare_data()
    assert str(caught.value).isprintable()
    assert cached(published) == {}
    source.write_bytes(content)
    make(published).prepare_data()
    assert sorted(cached(published).values()) == sorted(whole.values())
