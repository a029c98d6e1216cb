"""What a training knows of the epoch at hand and would lose when it is stopped within it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric


class WeightedMean(Metric):
    """The mean of values by their weights.

    Nothing is read back from a device: torchmetrics' own looks for NaN in each update, and makes a GPU run idle.
    """

    total: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("total", "weight"):
            self.add_state(name, torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, value: Tensor, weight: int) -> None:
        """Count a value, () float, as often as its weight says."""
        self.total += value * weight
        self.weight += weight

    def compute(self) -> Tensor:
        """The mean so far, () float."""
        return self.total / self.weight


class RunningEpoch(nn.Module):
    """The learning rate of an epoch's first step, and the metrics of its steps so far.

    Args:
        metrics: of the training split, by name; Lightning resets them after an epoch.

    Attributes:
        lr: of the epoch's first step.
        pending: from a checkpoint, until `restore`.
    """

    def __init__(self, metrics: Mapping[str, Metric]):
        super().__init__()
        self.metrics = nn.ModuleDict(metrics)
        self.lr = 0.0
        self.pending: dict[str, Any] | None = None
        self._announced = -1

    def announce_lr(self, epoch: int) -> bool:
        """Whether this process has yet to log the rate of this epoch."""
        first, self._announced = self._announced != epoch, epoch
        return first

    def state(self) -> dict[str, Any]:
        """Plain containers and tensors; the metrics are of all processes together, which must all call this."""
        metrics = {}
        for name, metric in self.metrics.items():
            with metric.sync_context():
                metrics[name] = {key: value.clone() for key, value in metric.metric_state.items()}
        return {"lr": self.lr, "metrics": metrics}

    def restore(self, rank: int) -> None:
        """Take over what is pending: the metrics go to the first process, as if it had computed all steps."""
        if self.pending is None:
            return
        self.lr = self.pending["lr"]
        for name, state in self.pending["metrics"].items() if rank == 0 else ():
            for key, value in state.items():
                setattr(self.metrics[name], key, value.to(self.metrics[name].device))
        self.pending = None
