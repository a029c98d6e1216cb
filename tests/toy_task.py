"""A task small enough to train on within a second: which of three tokens is the most frequent."""

from pathlib import Path

import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback

from longrange.cli import compose
from longrange.data.batch import Batch
from longrange.data.module import SequenceDataModule, Split
from longrange.models.spec import TaskSpec

SIZES = {"train": 64, "val": 21, "test": 19}  # no multiples of a batch: the last one is ragged
LENGTH = 12


class ToySplit:
    """Examples of one split, drawn from a seed of its own."""

    def __init__(self, seed: int, size: int):
        generator = torch.Generator().manual_seed(seed)
        self.targets = torch.randint(3, (size,), generator=generator)
        noise = torch.randint(3, (size, LENGTH), generator=generator)
        hint = torch.rand((size, LENGTH), generator=generator) < 0.6
        self.inputs = torch.where(hint, self.targets.unsqueeze(1), noise)
        self.lengths = torch.randint(LENGTH // 2, LENGTH + 1, (size,), generator=generator)
        self.steps = self.lengths.numpy()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitems__(self, indices: list[int]) -> Batch:
        return Batch(self.inputs[indices], self.lengths[indices], self.targets[indices])


class ToyTask(SequenceDataModule):
    """Three splits that share no seed."""

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec("toy", "tokens", input_size=3, output_size=3, max_length=LENGTH, variable_length=True)

    def split(self, name: Split) -> ToySplit:
        return ToySplit(list(SIZES).index(name), SIZES[name])


class InterruptedAtError(Exception):
    """What `InterruptAt` raises."""


class InterruptAt(Callback):
    """Ends a training at the start of one batch, as a killed process would."""

    def __init__(self, epoch: int, batch: int):
        self.where = (epoch, batch)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == self.where:
            raise InterruptedAtError


class Spoil(Callback):
    """Writes a NaN into one parameter before one batch."""

    def __init__(self, parameter: str, batch: int):
        self.parameter, self.batch = parameter, batch

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == self.batch:
            pl_module.model.get_parameter(self.parameter).data.view(-1)[0] = float("nan")


def toy_config(run_dir: Path, *overrides: str) -> DictConfig:
    """The real configuration of a small S5 on this task, for `longrange.training.train`."""
    cfg = compose(
        "train",
        [
            *("model.d_model=8", "model.n_layers=2", "model.layer.d_state=8", "model.layer.n_blocks=2"),
            *("model.block.dropout=0.1", "epochs=2"),
            *overrides,
        ],
        run_dir=run_dir,
    )
    cfg.data = {"_target_": "toy_task.ToyTask", "batch_size": 8, "seed": cfg.seed}
    return cfg
