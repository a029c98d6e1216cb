"""Sequences of one's own: used as they are, and refused with the settings that they want."""

import pickle

import numpy as np
import pytest
import torch

from longrange.cli import compose
from longrange.data.own import OwnSequences
from longrange.errors import DataError
from longrange.training import train

SIGNAL = {"kind": "continuous", "input_size": 2, "output_size": 3, "max_length": 6}
TOKENS = {"kind": "tokens", "input_size": 5, "output_size": 3, "max_length": 6}


def written(folder, spec, n=4, variable=False):
    """All three splits, random."""
    draw = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        shape = (n, spec["max_length"])
        tokens = spec["kind"] == "tokens"
        put(folder, split, "inputs", draw.integers(0, 5, shape) if tokens else draw.standard_normal((*shape, 2)))
        put(folder, split, "targets", np.arange(n) % 3)
        if variable:
            put(folder, split, "lengths", np.array([3, 1, 6, 2][:n], np.int32))
    return OwnSequences(data_dir=folder, batch_size=2, variable_length=variable, **spec)


def put(folder, split, part, values):
    np.save(folder / f"{split}.{part}.npy", values)


@pytest.mark.parametrize("spec", [SIGNAL, TOKENS], ids=["signal", "tokens"])
def test_batches_are_the_files(tmp_path, spec):
    task = written(tmp_path, spec)
    task.prepare_data()
    inputs, lengths, targets = task.split("val").__getitems__([3, 1])
    stored = np.load(tmp_path / "val.inputs.npy")[[3, 1]]
    np.testing.assert_array_equal(inputs, stored.astype(np.float32) if spec is SIGNAL else stored)
    assert inputs.dtype == (torch.float32 if spec is SIGNAL else torch.int64)
    assert (lengths, targets.tolist()) == (None, [0, 1])
    assert task.spec.variable_length is False


def test_a_batch_ends_with_its_longest_sequence_and_nothing_beyond_is_read(tmp_path):
    task = written(tmp_path, TOKENS, variable=True)
    ids = np.load(tmp_path / "train.inputs.npy")
    for row, length in enumerate([3, 1, 6, 2]):
        ids[row, length:] = -7
    put(tmp_path, "train", "inputs", ids)
    task.prepare_data()
    split = pickle.loads(pickle.dumps(task.split("train")))  # as a loader process gets it
    inputs, lengths, _ = split.__getitems__([3, 0])
    assert (inputs.shape, lengths.tolist()) == ((2, 3), [2, 3])
    assert split.steps.tolist() == [3, 1, 6, 2]


def test_regression(tmp_path):
    written(tmp_path, SIGNAL)
    for split in ("train", "val", "test"):
        put(tmp_path, split, "targets", np.ones((4, 2)))
    spec = {**SIGNAL, "output_size": 2, "loss": "mse"}
    task = OwnSequences(data_dir=tmp_path, batch_size=2, **spec)
    task.prepare_data()
    assert task.split("test").__getitems__([0]).targets.dtype == torch.float32


@pytest.mark.parametrize(
    ("files", "settings", "wanted"),
    [
        ((SIGNAL, False), TOKENS, "data.kind=continuous data.input_size=2"),
        ((TOKENS, False), SIGNAL, "data.kind=tokens data.input_size=5"),
        ((TOKENS, False), {**TOKENS, "input_size": 3, "output_size": 2}, "data.input_size=5 data.output_size=3"),
        ((TOKENS, True), {**TOKENS, "max_length": 5}, "data.max_length=6 data.variable_length=true"),
        ((SIGNAL, False), {**SIGNAL, "max_length": 7}, "data.max_length=6"),
        ((SIGNAL, False), {**SIGNAL, "loss": "mse"}, "data.loss=cross_entropy"),
    ],
)
def test_files_of_another_shape_say_what_they_want(tmp_path, files, settings, wanted):
    written(tmp_path, files[0], variable=files[1])
    with pytest.raises(DataError, match=rf"train\.\*\.npy: these sequences want {wanted}$"):
        OwnSequences(data_dir=tmp_path, batch_size=2, **settings).prepare_data()


def test_a_task_may_have_more_ids_classes_and_steps_than_occur(tmp_path):
    written(tmp_path, TOKENS, variable=True)
    roomy = {"kind": "tokens", "input_size": 9, "output_size": 7, "max_length": 60, "variable_length": True}
    OwnSequences(data_dir=tmp_path, batch_size=2, **roomy).prepare_data()


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        (
            "inputs",
            np.ones((4, 6)),
            r"val\.inputs\.npy: has float64 of shape \(4, 6\), must be whole numbers \(n, L\) or",
        ),
        ("inputs", np.full((4, 6), "a"), "must be whole numbers"),
        (
            "inputs",
            np.array([[0, 1, 2, 3, 4, 0]] * 3 + [[0, -1, 0, 0, 0, 0]]),
            r"inputs\.npy, row 3: a token id below 0",
        ),
        ("inputs", np.full((4, 6, 2), np.nan), r"inputs\.npy, row 0: .* not finite"),
        ("targets", np.ones(4), r"targets\.npy: has float64 of shape \(4,\), must be whole numbers \(n,\) or numbers"),
        ("targets", np.array([0, 1, -1, 0]), r"targets\.npy, row 2: a class below 0"),
        ("targets", np.array([[1.0], [np.inf], [0.0], [0.0]]), r"targets\.npy, row 1: .* not finite"),
        ("targets", np.zeros(3, int), r"val\.\*\.npy: 4 inputs, 3 targets, 4 lengths; must be equally many"),
        ("lengths", np.array([3, 7, 1, 1]), r"lengths\.npy, row 1: must be from 1 to the length"),
        ("lengths", np.array([0, 1, 1, 1]), r"lengths\.npy, row 0: must be from 1"),
        ("lengths", np.array([[1]]), r"lengths\.npy: has int64 of shape \(1, 1\), must be whole numbers \(n,\)"),
    ],
)
def test_what_no_task_can_have_is_named(tmp_path, part, values, message):
    task = written(tmp_path, TOKENS, variable=True)
    put(tmp_path, "val", part, values)
    with pytest.raises(DataError, match=message):
        task.prepare_data()


def test_files_that_are_missing_damaged_or_pickles(tmp_path):
    task = written(tmp_path, SIGNAL)
    file = tmp_path / "test.targets.npy"
    np.save(file, np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"test\.targets\.npy: cannot be read"):
        task.prepare_data()
    file.write_bytes(b"\x93NUMPY")
    with pytest.raises(DataError, match=r"test\.targets\.npy: cannot be read"):
        task.prepare_data()
    file.unlink()
    with pytest.raises(DataError, match=r"test\.targets\.npy: cannot be read \(No such file or directory\)"):
        task.prepare_data()


def test_a_training_from_the_command_line(tmp_path):
    written(tmp_path, TOKENS, n=4, variable=True)
    sizes = ["data.kind=tokens", "data.input_size=5", "data.output_size=3", "data.max_length=6"]
    model = ["model=s5", "model.d_model=8", "model.n_layers=1", "model.layer.d_state=8", "model.layer.n_blocks=1"]
    own = [f"data.data_dir={tmp_path}", "data.variable_length=true", "data.bucket=true", "data.batch_size=2"]
    cfg = compose("train", ["data=own", *sizes, *own, *model, "trainer=cpu", "epochs=1"], tmp_path / "run")
    assert 0 <= train(cfg).metrics["test"]["accuracy"] <= 1
