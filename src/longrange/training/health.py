"""How healthy a training is, once per epoch: its gradients, and how near the state-space systems are to growing."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from longrange.layers.base import SequenceLayer


class Health(Callback):
    """Logs, per epoch, `grad_norm_mean` and `grad_norm_max`, `dt_min`, `dt_max` and `spectral_radius`.

    The norm is that of all gradients together, before they are clipped, of each of the epoch's optimiser steps. The
    others are of the weights that the epoch ends with, see `of_layers`. What an unfinished epoch has so far travels in
    checkpoints.
    """

    def __init__(self) -> None:
        self._steps = 0
        self._sum: Tensor | float = 0.0
        self._max: Tensor | float = 0.0

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer) -> None:
        """Add a step; nothing waits for the device."""
        norm = get_total_norm([p.grad for p in pl_module.parameters() if p.grad is not None]).double()
        self._steps += 1
        self._sum = norm + self._sum
        self._max = torch.maximum(norm, torch.as_tensor(self._max, dtype=norm.dtype, device=norm.device))

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *step: Any) -> None:
        """Log at the epoch's last batch, before the validation, with which the epoch's row is complete."""
        if not trainer.is_last_batch:
            return
        seen = self.state_dict()
        norms = {"grad_norm_mean": seen["sum"] / seen["steps"], "grad_norm_max": seen["max"]}
        for name, value in {**norms, **of_layers(pl_module.model)}.items():
            pl_module.log(name, value, on_step=False, on_epoch=True, batch_size=1, sync_dist=True)
        self.load_state_dict({"steps": 0, "sum": 0.0, "max": 0.0})

    def state_dict(self) -> dict[str, Any]:
        """The epoch so far."""
        return {"steps": self._steps, "sum": float(self._sum), "max": float(self._max)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on within the epoch of a checkpoint."""
        self._steps, self._sum, self._max = (state_dict[name] for name in ("steps", "sum", "max"))


@torch.no_grad()
def of_layers(model: nn.Module) -> dict[str, float]:
    """The extremes over all sequence layers of a model, at the time step of training; nothing where there are none.

    Returns:
        dt_min and dt_max, the smallest and the largest time step; spectral_radius, see `SequenceLayer`.
    """
    layers = [module for module in model.modules() if isinstance(module, SequenceLayer)]
    if not layers:
        return {}
    ranges = [layer.time_steps().aminmax() for layer in layers]
    return {
        "dt_min": min(low.item() for low, _ in ranges),
        "dt_max": max(high.item() for _, high in ranges),
        "spectral_radius": max(layer.spectral_radius() for layer in layers),
    }
