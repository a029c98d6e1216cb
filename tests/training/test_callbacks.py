"""What the watching callbacks measure and when they stop a training."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from longrange.data.batch import Batch
from longrange.errors import DivergedError
from longrange.models.dropout import Part
from longrange.training import callbacks
from longrange.training.callbacks import FiniteGuard, Throughput, first_bad_parameter
from tests.backends import gpu_only


def model():
    layers = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    layers(torch.ones(1, 2)).sum().backward()
    return layers


def test_bad_parameter_comes_before_bad_gradient():
    layers = model()
    layers[0].weight.grad[0, 0] = float("inf")
    layers[1].weight.data[0, 0] = float("nan")
    assert first_bad_parameter(layers.named_parameters()) == "parameter 1.weight is the first that is not finite"


def test_first_bad_gradient():
    layers = model()
    for parameter in (layers[0].bias, layers[1].weight):
        parameter.grad[0] = float("nan")
    assert first_bad_parameter(layers.named_parameters()).startswith("parameter 0.bias is the first with a gradient")


def test_nothing_bad_in_the_model():
    assert "so the data may not be" in first_bad_parameter(model().named_parameters())


def test_validation_loss_is_guarded():
    trainer = SimpleNamespace(callback_metrics={"val/loss": torch.tensor(1.0)}, global_step=7, current_epoch=2)
    module = SimpleNamespace(model=model())
    FiniteGuard().on_validation_end(trainer, module)
    trainer.callback_metrics["val/loss"] = torch.tensor(float("inf"))
    with pytest.raises(DivergedError, match="validation loss is inf at step 7, epoch 2"):
        FiniteGuard().on_validation_end(trainer, module)


def guarded_steps(guard, losses):
    """Steps of these losses under a guard, then a checkpoint: in which step it raised what, if anything."""
    trainer = SimpleNamespace(strategy=SimpleNamespace(reduce=lambda loss: loss), global_step=0, current_epoch=0)
    module = SimpleNamespace(model=model())
    try:
        for loss in losses:
            guard.on_before_backward(trainer, module, torch.tensor(loss))
            guard.on_before_optimizer_step(trainer, module, None)
            trainer.global_step += 1
        guard.on_save_checkpoint(trainer, module, {})
    except DivergedError as problem:
        return trainer.global_step, str(problem)
    return None


def test_a_bad_loss_stops_its_own_step():
    assert guarded_steps(FiniteGuard(), [1.0, 2.0]) is None
    step, problem = guarded_steps(FiniteGuard(), [1.0, float("nan"), 1.0])
    assert step == 1
    assert problem.startswith("the training loss is nan at step 1, epoch 0: ")


def test_on_a_gpu_it_stops_the_next_step_or_the_checkpoint(monkeypatch):
    class UnderWay(callbacks._Reading):
        """As of a GPU's number, which is not here yet."""

        def __init__(self, number, trainer):
            super().__init__(number, trainer)
            self.is_under_way = True

        def value(self):
            return self._number.item()

    monkeypatch.setattr(callbacks, "_Reading", UnderWay)
    assert guarded_steps(FiniteGuard(), [1.0, 2.0]) is None
    for losses in ([1.0, float("nan"), 1.0], [1.0, float("nan")]):
        step, problem = guarded_steps(FiniteGuard(), losses)
        assert step == 2
        assert problem.startswith("the training loss is nan at step 1, epoch 0: ")


@gpu_only
def test_a_number_of_a_gpu_arrives():
    reading = callbacks._Reading(torch.tensor(1.5).cuda(), SimpleNamespace(global_step=3, current_epoch=1))
    assert reading.is_under_way
    assert reading.value() == 1.5


def test_throughput_counts_training_time_only(monkeypatch):
    """Two epochs of two batches of 5 in 1 s each; 100 s of validation in between."""
    times = iter([0.0, 1.0, 2.0, 102.0, 103.0, 104.0])
    monkeypatch.setattr(callbacks, "perf_counter", lambda: next(times))
    speed, trainer = Throughput(), SimpleNamespace(accumulate_grad_batches=1)
    batch, module = Batch(torch.zeros(5, 3), None, torch.zeros(5)), SimpleNamespace(part=Part(0, 1, 5))
    for _ in range(2):
        speed.on_train_epoch_start(trainer, None)
        for batch_idx in range(2):
            speed.on_train_batch_end(trainer, module, None, batch, batch_idx)
    assert (speed.samples, speed.seconds, speed.samples_per_s) == (20, 4.0, 5.0)


def test_throughput_leaves_out_a_first_batch_that_waits_for_kernels(monkeypatch):
    """A batch of 5 in 60 s, then three in 1 s each; a single batch is all there is."""
    times = iter([0.0, 60.0, 61.0, 62.0, 63.0])
    monkeypatch.setattr(callbacks, "perf_counter", lambda: next(times))
    speed, trainer = Throughput(), SimpleNamespace(accumulate_grad_batches=1)
    module, speeds = SimpleNamespace(part=Part(0, 1, 5)), []
    speed.on_train_epoch_start(trainer, None)
    for batch_idx in range(4):
        speed.on_train_batch_end(trainer, module, None, None, batch_idx)
        speeds.append(speed.samples_per_s)
    assert speeds == [5 / 60, 5.0, 5.0, 5.0]
    assert (speed.samples, speed.seconds) == (20, 63.0)


def test_throughput_of_a_process_that_did_not_train():
    speed = Throughput()
    assert speed.samples_per_s == 0.0
    speed.load_state_dict({"samples_per_s": 12.0})
    assert speed.samples_per_s == 12.0


def test_throughput_counts_a_batch_in_parts_once(monkeypatch):
    """Two optimiser steps of 6 examples, in three parts each, each part in 1 s; the first part may wait for kernels."""
    times = iter(map(float, range(7)))
    monkeypatch.setattr(callbacks, "perf_counter", lambda: next(times))
    speed, trainer = Throughput(), SimpleNamespace(accumulate_grad_batches=3)
    module = SimpleNamespace(part=Part(0, 3, 6))
    speed.on_train_epoch_start(trainer, None)
    for batch_idx in range(6):
        speed.on_train_batch_end(trainer, module, None, None, batch_idx)
    assert (speed.samples, speed.samples_per_s) == (12, 2.0)
