"""Losses and metrics of the Lightning module, on a model whose outputs are known."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from longrange.data.batch import Batch
from longrange.data.module import SequenceDataModule
from longrange.models.dropout import Dropout
from longrange.models.head import RegressionHead
from longrange.models.spec import TaskSpec
from longrange.training.callbacks import History
from longrange.training.checkpoint import BestAndLast
from longrange.training.groups import Rule
from longrange.training.schedules import constant
from longrange.training.task import SequenceTask

SIZE = 10  # of the evaluation splits, in batches of 4: the last has 2


class Scale(nn.Module):
    """Multiplies the mean input by one weight and the rate."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[2.0]]))
        self.head = RegressionHead(1, 1)

    def forward(self, inputs, lengths=None, rate=1.0):
        return inputs.mean(1) * self.weight * rate


class Regression(SequenceDataModule):
    """Targets are three times the inputs, in the test split with an error that differs between batches."""

    @property
    def spec(self):
        return TaskSpec("regression", "continuous", input_size=1, output_size=1, max_length=1, loss="mse")

    def split(self, name):
        return self

    @property
    def targets(self):
        return 3 * np.arange(SIZE, dtype=np.float32).reshape(-1, 1)

    def __len__(self):
        return SIZE

    def __getitems__(self, indices):
        x = torch.tensor(indices, dtype=torch.float32).view(-1, 1)
        return Batch(x.unsqueeze(-1), None, 3 * x)


def new_task():
    return SequenceTask(
        Scale(),
        Regression(batch_size=4).spec,
        algorithm=torch.optim.SGD,
        rules=[Rule("all", ["*"], 0.1, 0.0)],
        scheduler=constant,
    )


def new_trainer(*callbacks, **options):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    return pl.Trainer(accelerator="cpu", logger=False, callbacks=list(callbacks), **quiet, **options)


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("rate", [1.0, 3.0])
def test_rmse_is_of_all_examples_together_at_the_rate_of_the_evaluation(rate, split):
    task, trainer = new_task(), new_trainer(enable_checkpointing=False)
    task.rate = rate
    evaluate = trainer.validate if split == "val" else trainer.test
    (metrics,) = evaluate(task, Regression(batch_size=4), verbose=False)
    squares = ((2 * rate - 3) * torch.arange(SIZE, dtype=torch.float32)).square()
    mean = squares.mean()
    assert metrics == pytest.approx({f"{split}/loss": mean.item(), f"{split}/rmse": mean.sqrt().item()})


def test_a_regression_starts_at_the_mean_of_the_training_targets_and_is_compared_with_it():
    task, data = new_task(), Regression(batch_size=4)
    trainer = new_trainer(enable_checkpointing=False, max_epochs=1)
    trainer.fit(task, data)
    trainer.test(task, data, verbose=False)
    targets = 3 * torch.arange(SIZE, dtype=torch.float32)
    assert task.model.head.mean.item() == pytest.approx(targets.mean().item())
    assert task.model.head.std.item() == pytest.approx(targets.std(correction=0).item())
    assert task.baseline() == pytest.approx(targets.std(correction=0).item())


def test_smallest_rmse_is_selected(tmp_path):
    """At this rate the weight overshoots further every epoch: the first one is the best."""
    history, checkpoints = History(), BestAndLast(tmp_path, every_s=600)
    new_trainer(history, checkpoints, max_epochs=3).fit(new_task(), Regression(batch_size=4))
    errors = [row["val/rmse"] for row in history.rows]
    assert errors == sorted(errors)
    assert errors[0] < errors[2]
    assert (checkpoints.best_epoch, checkpoints.best_score) == (0, pytest.approx(errors[0]))


def test_random_numbers_of_a_step_depend_on_seed_epoch_and_batch(monkeypatch):
    task, data = new_task(), Regression(batch_size=4)
    monkeypatch.setattr(task, "log", lambda *_, **__: None)  # there is no loop to log for
    task.trainer = new_trainer()
    task.trainer.datamodule = data

    def draw(seed, batch_idx):
        task.seed = seed
        task.on_train_batch_start(None, batch_idx)
        return torch.rand(1).item()

    assert draw(0, 0) == draw(0, 0)
    assert len({draw(0, 0), draw(0, 1), draw(1, 0)}) == 3


@pytest.mark.parametrize("parts", [1, 2])
def test_random_numbers_differ_from_epoch_to_epoch(monkeypatch, parts):
    """Whether they are torch's own, or those of a batch that is computed in parts."""
    task = new_task()
    task.model.drop = Dropout(0.5)
    monkeypatch.setattr(task, "log", lambda *_, **__: None)  # there is no loop to log for
    task.trainer = new_trainer(accumulate_grad_batches=parts)
    task.trainer.datamodule = Regression(batch_size=4)
    task.trainer.datamodule.trainer = task.trainer

    def draw(epoch):
        task.trainer.fit_loop.epoch_progress.current.completed = epoch
        task.on_train_batch_start(None, 0)
        return task.model.drop.draws.generator.initial_seed() if parts > 1 else torch.initial_seed()

    assert draw(1) == draw(1)
    assert len({draw(0), draw(1), draw(2)}) == 3
