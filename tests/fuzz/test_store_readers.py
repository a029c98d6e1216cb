"""Damaged caches, lists of checksums, archives, recipes and run records: noticed, one line of ours, or as they were.

A few cases in the suite; thousands, ever new ones: `FUZZ_CASES=5000 pytest tests/fuzz/test_*_readers.py`.
"""

import io
import json
import os
import shutil
import tarfile
import zipfile
from functools import partial

import numpy as np
import pytest
import torch
from fuzz.damage import damaged, fuzzed, mutated, outcome
from hypothesis import given
from hypothesis import strategies as st

from longrange.data import checksums
from longrange.data.archives import unpack
from longrange.data.arrays import Arrays, ensure_arrays, open_arrays
from longrange.data.cache import SequenceDataset, Sequences, ensure_cache, open_split
from longrange.data.files import prepared
from longrange.data.generate.listops import Recipe
from longrange.data.listops import ListOps
from longrange.data.pathfinder_pixels import PixelDataset, ensure_pixels
from longrange.data.retrieval import PairDataset
from longrange.results.rows import COLUMNS, row_of

pytestmark = pytest.mark.slow

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 9), np.uint8)
CLASSES = np.arange(20) % 3
SEQUENCES = Sequences(np.arange(30, dtype=np.uint8), np.array([4, 9, 1, 16]), np.array([1, 1, 0, 0]))
WHOLE = {"train", "val", "test"}


def make_arrays(folder):
    ensure_arrays(folder, ("train",), lambda split: Arrays(IMAGES, CLASSES))


def make_sequences(folder):
    ensure_cache(folder, ("train",), lambda split: SEQUENCES, lambda: "abc")


def make_pixels(folder):
    ensure_pixels(folder, 20, 9, lambda: [(IMAGES, CLASSES.astype(np.uint8))])


def pixels_of(folder):
    with prepared(folder, "task"):
        return PixelDataset(folder, "train", center=True)


MAKERS = {"arrays": make_arrays, "sequences": make_sequences, "pixels": make_pixels}
OPENERS = {
    "arrays": [lambda folder: open_arrays(folder, "train", torch.from_numpy, "task")],
    "sequences": [
        partial(open_split, split="train", task="task", kind=kind) for kind in (SequenceDataset, PairDataset)
    ],
    "pixels": [pixels_of],
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_cache_that_changed_is_made_again(tmp_path, kind):
    """Whatever file of it, wherever in it, whatever the time of change says."""
    folder, make = tmp_path / "cache", MAKERS[kind]
    make(folder)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(whole) > 1

    @fuzzed(30)
    @given(st.sampled_from(sorted(whole)).flatmap(lambda name: st.tuples(st.just(name), damaged(whole[name]))))
    def fuzz(case):
        name, content = case
        before = (folder / name).stat()
        (folder / name).unlink()  # another number of the file
        (folder / name).write_bytes(content)
        os.utime(folder / name, ns=(before.st_atime_ns, before.st_mtime_ns))
        outcome(lambda: make(folder))
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole

    fuzz()


@pytest.mark.parametrize("kind", MAKERS)
def test_an_unchecked_cache_opens_or_is_refused(tmp_path, kind):
    """Where a cache is opened by a process that did not compare it, reading it neither crashes nor leaves the file."""
    MAKERS[kind](tmp_path / "cache")
    files = {path.name: path.read_bytes() for path in (tmp_path / "cache").iterdir() if path.suffix != ".xxh128"}

    @fuzzed(60)
    @given(st.sampled_from(sorted(files)).flatmap(lambda name: st.tuples(st.just(name), damaged(files[name]))))
    def fuzz(case):
        name, content = case
        shutil.rmtree(tmp_path / "cache")
        (tmp_path / "cache").mkdir()
        for file, whole in files.items():
            (tmp_path / "cache" / file).write_bytes(content if file == name else whole)
        for opener in OPENERS[kind]:
            data = outcome(lambda opener=opener: opener(tmp_path / "cache"))
            if data is not None:
                assert len(data) == len(data.targets) > 0

    fuzz()


@fuzzed(60)
@given(damaged(b"".join(b"%032x  folder/name %d.npy\n" % (n, n) for n in range(3))))
def test_lists_of_checksums(tmp_path, content):
    (tmp_path / "x.xxh128").write_bytes(content)
    (tmp_path / checksums.LIST).write_bytes(content)
    assert outcome(lambda: checksums.check(tmp_path, [tmp_path])) is None
    assert outcome(lambda: checksums.fault(tmp_path))


FILES = {"set/a.txt": b"a" * 700, "set/b.bin": bytes(range(256)), "c": b""}


def tar(mode: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode, format=tarfile.PAX_FORMAT) as archive:
        for name, content in FILES.items():
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(content), {"comment": "é" * 20}
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def zipped() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    return made.getvalue()


ARCHIVES = {"tar": tar("w"), "tar.gz": tar("w:gz"), "zip": zipped()}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_archives(tmp_path, kind):
    """Nothing lies outside; what is covered by checksums is whole or refused, and then nothing is left."""

    @fuzzed(60)
    @given(damaged(ARCHIVES[kind]))
    def fuzz(content):
        (tmp_path / "archive").write_bytes(content)
        shutil.rmtree(tmp_path / "in", ignore_errors=True)
        (tmp_path / "in").mkdir()
        outcome(lambda: unpack(tmp_path / "archive", tmp_path / "in/out"))
        assert {path.name for path in tmp_path.iterdir()} == {"archive", "in"}
        assert {path.name for path in (tmp_path / "in").iterdir()} <= {"out"}
        paths = [path for path in (tmp_path / "in").rglob("*") if path.suffix != checksums.ENDING]
        assert not any(path.is_symlink() for path in paths)
        found = {
            path.relative_to(tmp_path / "in/out").as_posix(): path.read_bytes() for path in paths if path.is_file()
        }
        assert kind == "tar" or found in ({}, FILES)

    fuzz()


@fuzzed(40)
@given(damaged(json.dumps({"min_length": 3, "seed": 0, "train": 5}).encode()))
def test_recipes(tmp_path, content):
    for split in ("train", "val", "test"):
        (tmp_path / f"basic_{split}.tsv").write_bytes(b"Source\tTarget\n3\t3\n")
    (tmp_path / "recipe.json").write_bytes(content)
    task = ListOps(data_dir=tmp_path, cache_dir=tmp_path / "c", recipe=Recipe(min_length=3, train=5), batch_size=1)
    assert outcome(task.prepare_data) is None


RECORD = {
    "task": "listops", "model": "s5", "experiment": None, "pretrain": None, "metric": "accuracy", "seed": 0,
    "metrics": {"test": {"accuracy": 0.5}}, "baseline": 0.1, "wall_s": 60.0, "epochs": 2, "n_parameters": 10,
    "protocol": "heldout", "hardware": {"cpu": "x", "cores": 2, "gpu": None}, "commit": "abc", "dirty": False,
    "finished": "2025-01-01T00:00:00", "config": {"name": {"overrides": ["seed=0"]}, "trainer": {"accelerator": "cpu"}},
}  # fmt: skip


@fuzzed(100)
@given(st.one_of(damaged(json.dumps(RECORD).encode()), mutated(json.dumps(RECORD, indent=1).encode())))
def test_records(tmp_path, content):
    (tmp_path / "result.json").write_bytes(content)
    row = outcome(lambda: row_of(tmp_path / "result.json"))
    assert row is None or tuple(row) == COLUMNS


def test_what_is_whole_is_read(tmp_path):
    """The fuzz tests would pass if everything were refused."""
    for kind, make in MAKERS.items():
        make(tmp_path / kind)
        for opener in OPENERS[kind]:
            assert len(outcome(lambda opener=opener, kind=kind: opener(tmp_path / kind))) > 0
    for kind, content in ARCHIVES.items():
        (tmp_path / f"x.{kind}").write_bytes(content)
        outcome(lambda kind=kind: unpack(tmp_path / f"x.{kind}", tmp_path / "out" / kind))
        assert (tmp_path / "out" / kind / "set/a.txt").read_bytes() == FILES["set/a.txt"]
    (tmp_path / "result.json").write_text(json.dumps(RECORD))
    assert outcome(lambda: row_of(tmp_path / "result.json"))["test"] == 0.5
