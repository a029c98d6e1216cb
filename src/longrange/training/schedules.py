"""Learning-rate schedules, as factors on each group's peak rate.

Every schedule is a function of (optimizer, horizon), chosen by configs/scheduler. All of them are stepped before a
checkpoint is written, so that a resumed run continues at the rate an uninterrupted one would have.

Difference to the published S5 code, whose cosine counts steps from the start of the warmup and ends `warmup_epochs`
early: there the rate is slightly below its peak after the warmup, zero during the last `warmup_epochs`, and full in
the very first step. Here the cosine starts at the peak where the warmup ends, and reaches zero after the last step.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from longrange.errors import CheckpointError, ConfigError


@dataclass(frozen=True)
class Horizon:
    """How long a training is.

    Attributes:
        epochs: passes over the training data.
        steps_per_epoch: optimiser steps in each.
        mode: "max" or "min", the good direction of the validation metric.
    """

    epochs: int
    steps_per_epoch: int
    mode: Literal["max", "min"]

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.epochs * self.steps_per_epoch


class WarmupCosine(LambdaLR):
    """Linear warmup from 1/warmup to 1, then half a cosine from 1 to 0.

    Args:
        optimizer: whose groups' rates are the peaks.
        warmup: steps of the warmup.
        total: steps of warmup and cosine together; zero from there on.
    """

    def __init__(self, optimizer: Optimizer, warmup: int, total: int):
        self.warmup, self.total = warmup, total
        super().__init__(optimizer, self.factor)

    def factor(self, step: int) -> float:
        """Share of the peak rate after `step` optimiser steps."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        if step >= self.total:
            return 0.0
        return 0.5 * (1.0 + math.cos(math.pi * (step - self.warmup) / (self.total - self.warmup)))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue a schedule of the same shape.

        Raises:
            CheckpointError: the saved schedule had another length, so the rate would jump.
        """
        saved = (state_dict["warmup"], state_dict["total"])
        if saved != (self.warmup, self.total):
            raise CheckpointError(
                f"the checkpoint's schedule has {saved[0]} warmup steps of {saved[1]}, this run's {self.warmup} of "
                f"{self.total}; resume with the same epochs and data.batch_size, or set "
                f"scheduler.warmup_steps={saved[0]} scheduler.total_steps={saved[1]}"
            )
        super().load_state_dict(state_dict)


def warmup_cosine(
    optimizer: Optimizer,
    horizon: Horizon,
    *,
    warmup_epochs: float = 1.0,
    warmup_steps: int | None = None,
    total_steps: int | None = None,
) -> WarmupCosine:
    """Warmup, then half a cosine to zero, per optimiser step.

    Args:
        optimizer: whose groups' rates are the peaks.
        horizon: length of the training.
        warmup_epochs: length of the warmup in epochs.
        warmup_steps: its length in steps, in place of `warmup_epochs`.
        total_steps: where the cosine ends; at the end of the training where None.
    Raises:
        ConfigError: a negative warmup, one that is longer than the schedule, or a schedule of no steps.
    """
    warmup = round(warmup_epochs * horizon.steps_per_epoch) if warmup_steps is None else warmup_steps
    total = horizon.steps if total_steps is None else total_steps
    if total < 1:
        raise ConfigError(f"scheduler.total_steps={total}: must be at least 1")
    if not 0 <= warmup <= total:
        key = "warmup_epochs" if warmup_steps is None else "warmup_steps"
        whole = "the training" if total_steps is None else "scheduler.total_steps"
        raise ConfigError(f"scheduler.{key}: a warmup of {warmup} steps does not fit into the {total} of {whole}")
    return WarmupCosine(optimizer, warmup, total)


def multistep(optimizer: Optimizer, horizon: Horizon, *, milestones: Sequence[int], gamma: float) -> LambdaLR:
    """Multiply the rates by `gamma` at the start of each of the epochs `milestones`, counted from 0."""
    ends = [epoch * horizon.steps_per_epoch for epoch in milestones]
    return LambdaLR(optimizer, lambda step: gamma ** sum(step >= end for end in ends))


def constant(optimizer: Optimizer, horizon: Horizon) -> LRScheduler:
    """The groups' rates throughout."""
    return LambdaLR(optimizer, lambda step: 1.0)


def plateau(
    optimizer: Optimizer, horizon: Horizon, *, factor: float, patience: int, min_lr: float
) -> ReduceLROnPlateau:
    """Multiply the rates by `factor` after more than `patience` epochs without a better validation metric.

    Raises:
        ConfigError: a factor that does not reduce.
    """
    if not 0 <= factor < 1:
        raise ConfigError(f"scheduler.factor={factor}: must be at least 0 and below 1")
    return ReduceLROnPlateau(optimizer, mode=horizon.mode, factor=factor, patience=patience, min_lr=min_lr)
