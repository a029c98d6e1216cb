"""Splits of equal-sized examples: written in parts, memory-mapped, decoded a batch at a time, noticed when damaged."""

import multiprocessing
import os
import pickle
import time

import numpy as np
import pytest
import torch

from longrange.data.arrays import ArrayDataset, Arrays, ensure_arrays, open_arrays, write_arrays
from longrange.errors import DataError

INPUTS = np.arange(5 * 4 * 2, dtype=np.uint8).reshape(5, 4, 2)
TARGETS = np.array([3, 1, 4, 1, 5])
SPLITS = ("train", "val")


def halved(rows: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rows).float().div_(2)


def encoded(split: str) -> Arrays:
    return Arrays(INPUTS, TARGETS)


@pytest.fixture
def split(tmp_path) -> ArrayDataset:
    write_arrays(tmp_path / "train", INPUTS, TARGETS)
    return ArrayDataset(tmp_path / "train", halved)


@pytest.mark.parametrize("rows", [[3, 0, 3], [2]])
def test_a_batch_is_gathered_and_decoded(split, rows):
    inputs, lengths, targets = split.__getitems__(rows)
    assert torch.equal(inputs, torch.from_numpy(INPUTS[rows]) / 2)
    assert lengths is None
    assert torch.equal(targets, torch.from_numpy(TARGETS[rows]))


def test_what_is_decoded_in_place_stays_in_the_file(tmp_path):
    write_arrays(tmp_path / "train", INPUTS.astype(np.float32), TARGETS)
    split = ArrayDataset(tmp_path / "train", lambda rows: torch.from_numpy(rows).zero_())
    assert not split.__getitems__([1]).inputs.any()
    assert np.array_equal(split.inputs, INPUTS)


def test_split_knows_its_facts(split, tmp_path):
    assert len(split) == 5
    assert split.targets.tolist() == TARGETS.tolist()
    assert split.path == tmp_path / "train"


def test_inputs_are_mapped_not_read(split):
    assert not split.inputs.flags.owndata
    assert not split.inputs.flags.writeable
    assert type(split.inputs) is np.ndarray


def test_regression_targets_keep_their_shape(tmp_path):
    values = np.array([[0.5, 1], [2, 3]], np.float32)
    write_arrays(tmp_path / "val", INPUTS[:2], values)
    targets = ArrayDataset(tmp_path / "val", halved).__getitems__([1, 0]).targets
    assert torch.equal(targets, torch.tensor([[2.0, 3.0], [0.5, 1.0]]))


def test_files_are_ordinary_arrays(split, tmp_path):
    assert np.array_equal(np.load(tmp_path / "train.inputs.npy"), INPUTS)
    assert np.array_equal(np.load(tmp_path / "train.targets.npy"), TARGETS)


def test_parts_make_the_file_of_the_whole(split, tmp_path):
    turned = INPUTS[:, :, ::-1]
    write_arrays(tmp_path / "parts", iter([turned[:2], turned[2:3], turned[3:]]), TARGETS)
    write_arrays(tmp_path / "whole", turned, TARGETS)
    whole, parts = (tmp_path / f"{name}.inputs.npy" for name in ("whole", "parts"))
    assert parts.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([INPUTS[:3], INPUTS[:1]], "4 inputs but 5 targets"),
        ([INPUTS[:3], INPUTS[3:, :2]], r"a part of uint8 \(2, 2, 2\) after uint8 \(3, 4, 2\)"),
        ([INPUTS[:3], INPUTS[3:].astype(np.int16)], r"a part of int16 \(2, 4, 2\) after"),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path, parts, message):
    with pytest.raises(ValueError, match=message):
        write_arrays(tmp_path / "train", iter(parts), TARGETS)


def test_a_loader_process_opens_the_files_itself(tmp_path):
    write_arrays(tmp_path / "train", np.zeros((10_000, 8), np.uint8), np.zeros(10_000, np.int64))
    split = ArrayDataset(tmp_path / "train", torch.from_numpy)
    pickled = pickle.dumps(split)
    assert len(pickled) < 500
    assert torch.equal(pickle.loads(pickled).__getitems__([2]).inputs, split.__getitems__([2]).inputs)


def test_the_cache_is_made_once(tmp_path):
    ensure_arrays(tmp_path / "cache", SPLITS, encoded)
    ensure_arrays(tmp_path / "cache", SPLITS, lambda split: pytest.fail("encoded again"))
    assert len(open_arrays(tmp_path / "cache", "val", halved, "task")) == 5


@pytest.mark.parametrize("file", ["train.targets.npy", "val.inputs.npy"])
@pytest.mark.parametrize("left", [None, 0, 40, -3])
def test_a_damaged_cache_is_made_again(tmp_path, file, left, caplog):
    folder = tmp_path / "cache"
    ensure_arrays(folder, SPLITS, encoded)
    content = (folder / file).read_bytes()
    (folder / file).unlink() if left is None else (folder / file).write_bytes(content[:left])
    with pytest.raises(DataError, match=r"cache: not prepared; run scripts/prepare_data\.py data=some_task"):
        open_arrays(folder, file.split(".")[0], halved, "some_task")
    ensure_arrays(folder, SPLITS, encoded)
    assert (folder / file).read_bytes() == content
    assert "making the prepared data again" in caplog.text


def test_files_of_two_sizes_are_damaged(tmp_path):
    write_arrays(tmp_path / "train", INPUTS, TARGETS)
    np.save(tmp_path / "train.targets.npy", TARGETS[:3])
    with pytest.raises(ValueError, match="5 inputs but 3 targets"):
        ArrayDataset(tmp_path / "train", halved)


def test_pickles_are_not_opened(tmp_path):
    write_arrays(tmp_path / "train", INPUTS, TARGETS)
    np.save(tmp_path / "train.targets.npy", np.array([{}] * 5, object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        ArrayDataset(tmp_path / "train", halved)


def test_an_interrupted_encoding_leaves_nothing(tmp_path):
    def stops(split):
        if split == "val":
            raise KeyboardInterrupt
        return encoded(split)

    with pytest.raises(KeyboardInterrupt):
        ensure_arrays(tmp_path / "cache", SPLITS, stops)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def _count(folder, calls):
    def slow(split):
        with open(calls, "a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.1)
        return encoded(split)

    ensure_arrays(folder, SPLITS, slow)


def test_of_several_processes_one_encodes(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_count, args=(tmp_path / "cache", tmp_path / "calls")) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len((tmp_path / "calls").read_text().split()) == len(SPLITS)
