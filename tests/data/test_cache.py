"""The Arrow cache: made once, reused, noticed when damaged."""

import multiprocessing
import os
import pickle
import time

import datasets
import numpy as np
import pytest
import torch

from longrange.data.cache import (
    SequenceDataset,
    Sequences,
    arrow_file,
    cache_folder,
    ensure_cache,
    open_split,
    write_arrow,
)
from longrange.errors import DataError

SEQUENCES = [[3, 1, 4], [1], [5, 9, 2, 6, 5]]
SPLITS = ("train", "val")


def encoded() -> Sequences:
    values = np.array([value for sequence in SEQUENCES for value in sequence], np.uint8)
    return Sequences(values, np.array([len(s) for s in SEQUENCES]), np.array([7, 0, 9]))


@pytest.fixture
def split(tmp_path) -> SequenceDataset:
    write_arrow(tmp_path / "train.arrow", encoded())
    return SequenceDataset(tmp_path / "train.arrow")


def test_batch_is_padded_to_its_longest(split):
    inputs, lengths, targets = split.__getitems__([1, 0])
    assert torch.equal(inputs, torch.tensor([[1, 0, 0], [3, 1, 4]]))
    assert torch.equal(lengths, torch.tensor([1, 3]))
    assert torch.equal(targets, torch.tensor([0, 7]))
    assert {inputs.dtype, lengths.dtype, targets.dtype} == {torch.int64}


def test_split_knows_its_facts(split):
    assert len(split) == 3
    assert split.targets.tolist() == [7, 0, 9]
    assert split.lengths.tolist() == [3, 1, 5]


def test_values_are_mapped_not_read(split):
    assert not split.values.flags.owndata
    assert not split.values.flags.writeable
    assert isinstance(datasets.Dataset.from_file(str(split.path)).data, datasets.table.MemoryMappedTable)


def test_file_is_an_ordinary_data_set(split):
    rows = datasets.Dataset.from_file(str(split.path))
    assert rows["tokens"][:] == SEQUENCES
    assert rows["target"][:] == [7, 0, 9]


def test_symbols_stay_with_the_ids(tmp_path, split):
    write_arrow(tmp_path / "text.arrow", encoded(), "ab\N{GREEK SMALL LETTER PI}\n")
    assert SequenceDataset(tmp_path / "text.arrow").symbols == "ab\N{GREEK SMALL LETTER PI}\n"
    assert split.symbols == ""


def test_rows_and_steps(split):
    assert [split.row(i).tolist() for i in range(3)] == SEQUENCES
    assert split.steps.tolist() == [3, 1, 5]


def test_an_unprepared_split_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"cache: not prepared; run scripts/prepare_data\.py data=toy"):
        open_split(tmp_path / "cache", "val", "toy")


def test_a_loader_process_opens_the_file_itself(split):
    pickled = pickle.dumps(split)
    assert len(pickled) < 500
    assert torch.equal(pickle.loads(pickled).__getitems__([2]).inputs, split.__getitems__([2]).inputs)


def test_folder_depends_on_sources_and_options(tmp_path):
    source = tmp_path / "basic_train.tsv"
    source.write_text("abc")
    names = [cache_folder(tmp_path, "task", [source], {"max_length": length}) for length in (10, 10, 20)]
    os.utime(source, (0, 0))
    names.append(cache_folder(tmp_path, "task", [source], {"max_length": 10}))
    assert names[0] == names[1]
    assert len(set(names)) == 3


def test_cache_is_reused(tmp_path):
    ensure_cache(tmp_path / "cache", SPLITS, lambda split: encoded())
    before = [arrow_file(tmp_path / "cache", split).stat() for split in SPLITS]
    ensure_cache(tmp_path / "cache", SPLITS, lambda split: pytest.fail("encoded again"))
    after = [arrow_file(tmp_path / "cache", split).stat() for split in SPLITS]
    assert [(s.st_mtime_ns, s.st_ino) for s in before] == [(s.st_mtime_ns, s.st_ino) for s in after]


@pytest.mark.parametrize("damage", ["truncated", "empty", "zeroed", "lost"])
def test_damage_is_noticed_and_mended(tmp_path, caplog, damage):
    ensure_cache(tmp_path / "cache", SPLITS, lambda split: encoded())
    file = arrow_file(tmp_path / "cache", "val")
    whole = file.read_bytes()
    offsets = np.array([0, 3, 4, 9]).tobytes()
    spoilt = {"truncated": whole[:-60], "empty": b"", "zeroed": whole.replace(offsets, bytes(len(offsets)))}
    assert offsets in whole
    file.unlink() if damage == "lost" else file.write_bytes(spoilt[damage])
    ensure_cache(tmp_path / "cache", SPLITS, lambda split: encoded())
    assert file.read_bytes() == whole
    reason = "val.arrow is missing" if damage == "lost" else "val.arrow is damaged"
    assert caplog.messages == [f"{tmp_path / 'cache'}: {reason}; making the prepared data again"]


def test_a_faulty_source_leaves_nothing(tmp_path):
    def faulty(split):
        if split == "val":
            raise DataError("val is faulty")
        return encoded()

    with pytest.raises(DataError, match="val is faulty"):
        ensure_cache(tmp_path / "cache", SPLITS, faulty)
    assert [path.name for path in tmp_path.iterdir()] == ["cache.lock"]


def _prepare(folder, barrier):
    def encode(split):
        with (folder.parent / "calls").open("a") as calls:
            calls.write(f"{split}\n")
        time.sleep(0.3)
        return encoded()

    barrier.wait()
    ensure_cache(folder, SPLITS, encode)
    assert len(SequenceDataset(arrow_file(folder, "train"))) == len(SEQUENCES)


def test_of_two_processes_one_prepares(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    processes = [context.Process(target=_prepare, args=(tmp_path / "cache", barrier)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert (tmp_path / "calls").read_text().split() == list(SPLITS)
