"""Pairs of papers: rows as they are, streamed, stacked as the model's head wants them; faults named with their row."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from real_data import REAL_DATA

from longrange.cli import compose
from longrange.data.characters import decode
from longrange.data.retrieval import FILES, Retrieval
from longrange.data.retrieval_text import read_rows
from longrange.errors import ConfigError, DataError
from longrange.models.spec import TaskSpec

SPLITS = ("train", "val", "test")


def pair(split: str, number: int) -> tuple[int, str, str]:
    """Documents of many lengths; with quotation marks, which stay, and one that is empty."""
    second = f'a "quoted" word, \N{GREEK SMALL LETTER ALPHA}{number}' * (number % 4)
    return number % 2, f'{split} of train val test {number} "' + "x" * (7 * number % 50), second


def write(folder: Path, n: int = 24) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        rows = [
            (f"{float(label)}", "P04-1006", "J01-2004", *texts) for label, *texts in (pair(split, i) for i in range(n))
        ]
        (folder / FILES[split]).write_text("".join("\t".join(row) + "\n" for row in rows))
    return folder


def make(folder: Path, **options) -> Retrieval:
    task = Retrieval(data_dir=folder, **{"batch_size": 4, "download": False} | options)
    task.prepare_data()
    return task


@pytest.fixture
def task(tmp_path) -> Retrieval:
    return make(write(tmp_path / "aan"))


def test_spec_needs_no_data(tmp_path):
    spec = TaskSpec("retrieval", "tokens", 98, 2, 4000, variable_length=True, paired=True)
    assert Retrieval(data_dir=tmp_path, batch_size=1).spec == spec


@pytest.mark.parametrize("split", SPLITS)
def test_documents_are_those_of_the_file(task, split):
    data = task.split(split)
    assert data.targets.tolist() == [pair(split, i)[0] for i in range(24)]
    for i in range(len(data)):
        assert tuple(decode(data.row(2 * i + j), data.symbols) for j in (0, 1)) == pair(split, i)[1:]


def test_the_vocabulary_is_that_of_the_training_texts(task):
    assert set(task.split("test").symbols) == set("".join(text for i in range(24) for text in pair("train", i)[1:]))


def test_a_batch_holds_all_first_documents_then_all_second_ones(task):
    data = task.split("val")
    inputs, lengths, targets = data.__getitems__([5, 2, 11])
    assert inputs.shape == (6, lengths.max())
    assert targets.tolist() == [1, 0, 1]
    for row, text in enumerate([pair("val", i)[place] for place in (1, 2) for i in (5, 2, 11)]):
        assert decode(inputs[row, : lengths[row]].numpy(), data.symbols) == text
        assert not inputs[row, lengths[row] :].any()


def test_an_example_is_as_long_as_its_longer_document(task):
    data = task.split("train")
    assert data.steps.tolist() == [1 + max(map(len, pair("train", i)[1:])) for i in range(24)]


def test_a_cut_document_still_ends(tmp_path):
    data = make(write(tmp_path), max_length=10).split("train")
    assert data.lengths.max() == 10
    assert {data.row(i)[-1] for i in range(48)} == {2}


@pytest.mark.parametrize("num_workers", [0, 1])
def test_loaders_yield_every_pair(tmp_path, num_workers):
    task = make(write(tmp_path), bucket=True, num_workers=num_workers)
    batches = list(task.test_dataloader())
    assert [(len(b.targets), len(b.inputs), len(b.lengths)) for b in batches] == [(4, 8, 8)] * 6
    assert sum(b.lengths.sum().item() for b in batches) == task.split("test").lengths.sum()


def test_the_cache_is_bytes(task):
    assert task.split("train").values.dtype == np.uint8


def test_preview_shows_both_documents(task):
    _, first, second = pair("test", 3)
    assert task.preview("test", [3]) == [("text", f"{first}\n\n{second}", Retrieval.classes[1])]


@pytest.mark.parametrize("inside", ["", "tsv_data", "lra_release/tsv_data", "lra_release/lra_release/tsv_data"])
def test_files_are_found_in_an_unpacked_archive(tmp_path, inside):
    write(tmp_path / inside)
    assert Retrieval(data_dir=tmp_path, batch_size=1).present()
    assert len(make(tmp_path).split("val")) == 24


def test_windows_line_ends_and_whole_labels(tmp_path):
    write(tmp_path)
    (tmp_path / FILES["test"]).write_bytes(b"1\ta\tb\tone\ttwo\r\n0\ta\tb\tthree\tfour")
    assert [tuple(row) for row in read_rows(tmp_path / FILES["test"], "")] == [(1, "one", "two"), (0, "three", "four")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (b"1.0\ta\tb\tone", r"row 3: 4 columns, expected label, id 1, id 2, text 1, text 2"),
        (b"1.0\ta\tb\tone\ttwo\tthree", r"row 3: 6 columns"),
        (b"", r"row 3: 1 columns"),
        (b"0.5\ta\tb\tone\ttwo", r"row 3: label '0\.5', expected 0 or 1"),
        (b"nan\ta\tb\tone\ttwo", r"row 3: label 'nan'"),
        (b"1.0\ta\tb\tcaf\xe9\ttwo", r"row 3: not UTF-8"),
    ],
)
def test_faulty_rows_are_named(tmp_path, row, message):
    write(tmp_path)
    good = (tmp_path / FILES["val"]).read_bytes().splitlines(keepends=True)
    (tmp_path / FILES["val"]).write_bytes(b"".join([*good[:2], row, b"\n", *good[2:]]))
    with pytest.raises(DataError, match=rf"new_aan_pairs\.eval\.tsv, {message}"):
        make(tmp_path)


def test_an_empty_file_is_named(tmp_path):
    write(tmp_path)
    (tmp_path / FILES["test"]).write_bytes(b"")
    with pytest.raises(DataError, match=r"new_aan_pairs\.test\.tsv: is empty"):
        make(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    write(tmp_path)
    (tmp_path / FILES["test"]).unlink()
    with pytest.raises(DataError, match=r"new_aan_pairs\.test\.tsv: missing; run scripts/prepare_data\.py data=retr"):
        make(tmp_path)


def test_absent_files_say_how_to_get_them(tmp_path):
    with pytest.raises(DataError, match=r"lra_release\.gz: missing, and downloading is off; by hand: "):
        make(tmp_path / "none")


def test_max_length_leaves_room_for_a_character(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.max_length=1: must be at least 2"):
        Retrieval(data_dir=tmp_path, batch_size=1, max_length=1)


def test_other_files_than_the_published_ones_are_said_to_be(tmp_path, caplog):
    make(write(tmp_path))
    assert f"{FILES['train']}: 24 pairs, the published file has 147086" in caplog.text


def test_memory_does_not_grow_with_the_files(tmp_path):
    """3,000 pairs of 8 MB in all are encoded in a few MB, most of them tables of the vocabulary."""
    write(tmp_path)
    row = "\t".join(["1.0", "a", "b", "x" * 1500, "y" * 1200]) + "\n"
    (tmp_path / FILES["train"]).write_text(row * 3000)
    task = Retrieval(data_dir=tmp_path, batch_size=4)
    vocabulary = task._vocabulary()
    (tmp_path / "cache").mkdir()
    tracemalloc.start()
    sequences = task._encode("train", vocabulary)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(sequences.values) == 3000 * 2702
    assert peak < 2_000_000


def test_config_builds_the_published_task(tmp_path):
    task = instantiate(compose("prepare_data", ["data=retrieval"], tmp_path).data)
    assert (task.spec.input_size, task.max_length, task.bucket, task.spec.paired) == (98, 4000, True, True)


def test_real_files_hold_what_they_say(tmp_path):
    task = Retrieval(data_dir=REAL_DATA / "lra_release", cache_dir=tmp_path, batch_size=32)
    if not task.present():
        pytest.skip("no new_aan_pairs files in $LONGRANGE_DATA/lra_release")
    task.prepare_data()
    data = task.split("val")
    rows = list(read_rows(task._files["val"], "reading"))
    assert data.targets.tolist() == [row.label for row in rows]
    assert 0.45 < data.targets.mean() < 0.55
    assert data.lengths.max() == 4000
    for i in (0, len(rows) - 1):
        for place, text in enumerate((rows[i].first, rows[i].second)):
            known = "".join(s if s in data.symbols else "\N{REPLACEMENT CHARACTER}" for s in text[:3999])
            assert decode(data.row(2 * i + place), data.symbols) == known
    assert torch.isin(data.__getitems__([0, 1]).targets, torch.tensor([0, 1])).all()
