"""What watches a training: the history of its epochs, its speed and memory, and whether it is still finite."""

import math
from collections.abc import Iterable
from time import perf_counter
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn

from longrange.data.batch import Batch
from longrange.errors import DivergedError
from longrange.kernels.memory import FreedMemory


class History(Callback):
    """One row of metrics per finished epoch; travels in checkpoints, so it covers resumed runs from their start.

    Attributes:
        rows: e.g. {"epoch": 0, "train/loss": 2.3, "train/accuracy": 0.1, "val/loss": ..., "lr": ...}.
    """

    def __init__(self):
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the epoch that has just ended, validation included."""
        # Metrics are float32: more than seven digits would be noise.
        metrics = {name: float(f"{value:.7g}") for name, value in sorted(trainer.callback_metrics.items())}
        self.rows.append({"epoch": trainer.current_epoch, **metrics})

    def state_dict(self) -> dict[str, Any]:
        """The rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the rows of a checkpoint."""
        self.rows = list(state_dict["rows"])


class Throughput(Callback):
    """Training samples and the seconds they took, validation excluded; travels in checkpoints.

    Attributes:
        samples: trained on by this process and those beside it.
        seconds: of training by this process.
        earlier: samples_per_s of the process that wrote the checkpoint this run resumed from; None for a fresh run.
    """

    def __init__(self):
        self.samples, self.seconds, self.earlier = 0, 0.0, None
        self._mark, self._first = 0.0, (0, 0.0)

    @property
    def samples_per_s(self) -> float:
        """Of this process, without its first batch, which may wait for kernels to be compiled, if there are others.

        Of the process before where this one has not trained: its run had finished already.
        """
        samples, seconds = self.samples - self._first[0], self.seconds - self._first[1]
        if samples:
            return samples / seconds
        return self.samples / self.seconds if self.samples else self.earlier or 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock, for a run that goes on within an epoch."""
        self._mark = perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._mark = perf_counter()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch: Batch, batch_idx: int) -> None:
        """Count the samples that all processes together have computed."""
        now = perf_counter()
        self.seconds += now - self._mark
        self.samples += pl_module.part.batch_size / trainer.accumulate_grad_batches
        self._mark = now
        if not self._first[0]:
            self._first = self.samples, self.seconds

    def state_dict(self) -> dict[str, Any]:
        """The speed so far."""
        return {"samples_per_s": self.samples_per_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the speed of the process before."""
        self.earlier = state_dict["samples_per_s"]


class ReturnedMemory(Callback):
    """Keeps a training on the CPU from holding ever more memory, see `FreedMemory`."""

    def __init__(self) -> None:
        self._freed = FreedMemory()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *step: Any) -> None:
        """Look at what is held."""
        if trainer.strategy.root_device.type == "cpu":
            self._freed.after_step()


class FiniteGuard(Callback):
    """Stops a training whose loss is not finite, before the optimiser step that would spread it to every parameter.

    All processes stop together: the loss of a step is that of all of them, and of all batches that it accumulates. On a
    GPU, which would run idle while Python waits for the loss, it stops one step later, and before any checkpoint.
    """

    def __init__(self):
        self._losses: list[Tensor] = []
        self._last: _Reading | None = None

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Keep the loss until its gradients are known."""
        self._losses.append(loss.detach())

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer) -> None:
        """Check the loss of the step, on a GPU that of the one before.

        Raises:
            DivergedError: it is NaN or infinite.
        """
        before, self._last = self._last, _Reading(trainer.strategy.reduce(torch.stack(self._losses).sum()), trainer)
        self._losses.clear()
        if before is not None:
            self._check(before, pl_module)
        if not self._last.is_under_way:
            self._check_last(pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """See that the last step is worth being kept.

        Raises:
            DivergedError: its loss is NaN or infinite.
        """
        self._check_last(pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check the validation loss, which the last step may have spoilt.

        Raises:
            DivergedError: it is NaN or infinite.
        """
        self._check_last(pl_module)
        self._check(_Reading(trainer.callback_metrics["val/loss"], trainer), pl_module, "validation")

    def _check_last(self, pl_module: pl.LightningModule) -> None:
        last, self._last = self._last, None
        if last is not None:
            self._check(last, pl_module)

    @staticmethod
    def _check(reading: "_Reading", pl_module: pl.LightningModule, kind: str = "training") -> None:
        if not math.isfinite(loss := reading.value()):
            raise DivergedError(
                f"the {kind} loss is {loss} at {reading.when}: "
                f"{first_bad_parameter(pl_module.model.named_parameters())}; "
                "lower optimizer.lr or optimizer.ssm_lr, or set trainer.gradient_clip_val=1"
            )


class _Reading:
    """A number, () float, that is on its way from a GPU, or is here.

    Attributes:
        when: the step and epoch that it is of.
        is_under_way: whether asking for it may have to wait.
    """

    def __init__(self, number: Tensor, trainer: pl.Trainer):
        self.when = f"step {trainer.global_step}, epoch {trainer.current_epoch}"
        self.is_under_way, self._number = number.is_cuda, number
        if self.is_under_way:
            self._number = torch.empty_like(number, device="cpu", pin_memory=True).copy_(number, non_blocking=True)
            self._arrival = torch.cuda.Event()
            self._arrival.record(torch.cuda.current_stream(number.device))

    def value(self) -> float:
        """The number, once it is here."""
        if self.is_under_way:
            self._arrival.synchronize()
        return self._number.item()


def first_bad_parameter(named_parameters: Iterable[tuple[str, nn.Parameter]]) -> str:
    """Name the first parameter that is not finite, or else the first whose gradient is not."""
    named = list(named_parameters)
    for name, parameter in named:
        if not torch.isfinite(parameter).all():
            return f"parameter {name} is the first that is not finite"
    for name, parameter in named:
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            return f"parameter {name} is the first with a gradient that is not finite"
    return "all parameters and gradients are finite, so the data may not be"
