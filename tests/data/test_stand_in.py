"""Random data in place of a task's: its shape, and nothing else of it."""

import pytest
import torch
from hydra.utils import instantiate

from longrange.cli import compose

REAL = {
    "text": "longrange.data.text.Text",
    "retrieval": "longrange.data.retrieval.Retrieval",
    "image": "longrange.data.cifar.Cifar",
    "sc10_mfcc": "longrange.data.speech_commands.SpeechCommands",
    "bidmc_hr": "longrange.data.bidmc.Bidmc",
}


def data(task, tmp_path, *overrides):
    target = ["data._target_=longrange.data.stand_in.StandIn", f"+data.of={REAL[task]}", "data.batch_size=2"]
    stand_in = compose("train", [f"data={task}", f"paths.data={tmp_path}", *target, *overrides]).data
    return instantiate(stand_in), instantiate(compose("train", [f"data={task}"]).data)


@pytest.mark.parametrize("task", REAL)
def test_it_has_the_tasks_shape_and_touches_no_file(tmp_path, task):
    stand_in, real = data(task, tmp_path)
    assert (stand_in.spec, stand_in.protocol, stand_in.bucket) == (real.spec, real.protocol, real.bucket)
    stand_in.prepare_data()
    spec, batch = stand_in.spec, next(iter(stand_in.train_dataloader()))
    rows = 4 if spec.paired else 2
    assert batch.inputs.shape == (rows, spec.max_length, *([spec.input_size] if spec.kind == "continuous" else []))
    assert batch.targets.shape == ((2,) if spec.loss == "cross_entropy" else (2, spec.output_size))
    assert (batch.lengths is not None) == spec.variable_length
    assert batch.lengths is None or batch.lengths.shape == (rows,)
    assert not list(tmp_path.iterdir())


def test_splits_differ_and_repeat(tmp_path):
    stand_in, _ = data("image", tmp_path, "+data.size=3")
    first, again, other = stand_in.split("train"), stand_in.split("train"), stand_in.split("test")
    assert len(first) == 3
    assert torch.equal(first.__getitems__([0, 1]).inputs, again.__getitems__([0, 1]).inputs)
    assert not torch.equal(first.__getitems__([0]).inputs, other.__getitems__([0]).inputs)


def test_a_regression_has_its_targets(tmp_path):
    stand_in, _ = data("bidmc_hr", tmp_path)
    assert torch.tensor(stand_in.split("train").targets).shape == (8, 1)
