"""The first steps of a training, with the loss and the time of each, and no more of it."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from longrange.data.batch import Batch
from longrange.errors import ConfigError, DivergedError
from longrange.training.build import build, build_task, build_trainer
from longrange.training.callbacks import FiniteGuard
from longrange.training.noise import quiet

# A schedule that waits for a plateau wants every epoch validated; within so few steps one batch will do.
_OWN = {"devices": 1, "limit_val_batches": 1, "enable_checkpointing": False, "enable_progress_bar": False}


@dataclass(frozen=True)
class FirstSteps:
    """What the first steps of a training have shown.

    Attributes:
        losses: of each step, the mean training loss of its batch, dropout included; NaN from the step on
            at which the training diverged.
        step_s: median seconds of a step, loader, clipping and schedule included; NaN where the first one diverged.
        batch_size: examples of a step.
        device: that it ran on.
    """

    losses: list[float]
    step_s: float
    batch_size: int
    device: str


def first_steps(cfg: DictConfig, steps: int, watch: Callable[[float], None]) -> FirstSteps:
    """Begin a training as `train` does, on one device, from random weights, and leave it after some steps.

    The schedule is that of the whole training. No file is written; the data is prepared where it is not.

    Args:
        cfg: as composed from configs/train.yaml; `pretrain` is passed over.
        steps: optimizer steps, at least 1.
        watch: called after each step with its loss.
    Raises:
        ConfigError: the training has fewer steps.
        DataError: the data cannot be had.
    """
    data = build(cfg.data)
    task = build_task(cfg, data.spec)
    taken = _Steps(steps, watch)
    with quiet():
        trainer = build_trainer(OmegaConf.create({**cfg.trainer, **_OWN}), [taken, FiniteGuard()], [])
        try:
            trainer.fit(task, data)
        except DivergedError:
            taken.losses += [float("nan")] * (steps - len(taken.losses))
    step_s = median(taken.seconds) if taken.seconds else float("nan")
    return FirstSteps(taken.losses, step_s, data.batch_size, str(trainer.strategy.root_device))


class _Steps(Callback):
    """Keeps loss and seconds of every step, and ends the training after some."""

    def __init__(self, steps: int, watch: Callable[[float], None]):
        self.steps, self.watch = steps, watch
        self.losses: list[float] = []
        self.seconds: list[float] = []
        self._parts: list[Tensor] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock.

        Raises:
            ConfigError: the training ends before the last of the steps.
        """
        if (there_are := trainer.estimated_stepping_batches) < self.steps:
            raise ConfigError(f"benchmark.steps={self.steps}: the training has {there_are} steps; take epochs=<more>")
        self._mark = perf_counter()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch: Batch, batch_idx: int) -> None:
        """Add up the parts of a batch; Lightning has divided the loss of each by their number."""
        self._parts.append(outputs["loss"])
        if trainer.global_step > len(self.losses):
            self._end_step(trainer)

    def _end_step(self, trainer: pl.Trainer) -> None:
        self.losses.append(torch.stack(self._parts).sum().item())  # waits for the device, so the clock is right
        now = perf_counter()
        self.seconds.append(now - self._mark)
        self._mark = now
        self._parts.clear()
        self.watch(self.losses[-1])
        if len(self.losses) == self.steps:
            trainer.should_stop = True
