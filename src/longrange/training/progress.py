"""How far a training is: a bar on a terminal, elsewhere a line at the end of an epoch, and one a minute within it."""

import logging
import math
from datetime import timedelta
from time import perf_counter

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar, RichProgressBar
from rich.console import Console

from longrange.training.callbacks import Throughput

log = logging.getLogger(__name__)
_PAUSE = 60.0  # seconds between lines within an epoch
_REFRESH = 0.5  # seconds between the losses that the bar shows


class RunClock:
    """Estimates the time that is left of the whole run, validation included.

    The first step of a process says little about the others, as it may wait for kernels to be compiled: as soon as
    there is another, the estimate rests on those after it.
    """

    def start(self, trainer: pl.Trainer) -> None:
        """Begin to count, at a fresh or a resumed run's first step of this process."""
        self._total = trainer.estimated_stepping_batches
        self._marks = [(perf_counter(), trainer.global_step)]

    def step(self, trainer: pl.Trainer) -> None:
        """Take note of the first step's end; to be called after every batch."""
        if len(self._marks) == 1 and trainer.global_step > self._marks[0][1]:
            self._marks.append((perf_counter(), trainer.global_step))

    def left(self, trainer: pl.Trainer) -> str:
        """Time until the last step, h:mm:ss; "?" before the first one."""
        passed = [mark for mark in self._marks if mark[1] < trainer.global_step]
        if not passed:
            return "?"
        began, first = passed[-1]
        seconds = (perf_counter() - began) / (trainer.global_step - first) * (self._total - trainer.global_step)
        return str(timedelta(seconds=round(seconds)))


def samples_per_s(trainer: pl.Trainer) -> float:
    """Training speed of this process so far, from the trainer's `Throughput` callback."""
    return next(callback for callback in trainer.callbacks if isinstance(callback, Throughput)).samples_per_s


class RunProgressBar(RichProgressBar):
    """Lightning's bar of an epoch, with the loss, samples per second and the time left of the whole run.

    Args:
        stage: what it is a bar of, where that is not the whole run.
    """

    def __init__(self, stage: str | None = None):
        super().__init__()
        self._clock, self._loss, self._stage = RunClock(), float("nan"), stage
        self._read = -math.inf

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock with the bar."""
        self._clock.start(trainer)
        super().on_train_start(trainer, pl_module)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx: int) -> None:
        """Advance the bar."""
        if perf_counter() - self._read > _REFRESH:  # a GPU runs idle while Python waits for the number
            self._loss, self._read = outputs["loss"].item(), perf_counter()
        self._clock.step(trainer)
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, float | str]:
        """What stands right of the bar."""
        last = trainer.callback_metrics.get(f"val/{pl_module.metric}")
        validation = {} if last is None else {f"val/{pl_module.metric}": last.item()}
        speed = {
            "samples/s": f"{samples_per_s(trainer):.0f}",
            f"{self._stage or 'run'} ends in": self._clock.left(trainer),
        }
        return {"loss": self._loss, **validation, **speed}

    def _get_train_description(self, current_epoch: int) -> str:
        return f"{_title(self._stage).capitalize()} {current_epoch + 1}/{self.trainer.max_epochs}"


class EpochLog(ProgressBar):
    """A log line at the end of an epoch and one a minute within it, its validation, or a test, for files and pipes.

    Args:
        stage: as for `RunProgressBar`.
    """

    def __init__(self, stage: str | None = None):
        super().__init__()
        self._clock, self._enabled, self._stage = RunClock(), True, stage

    def disable(self) -> None:
        """Called by Lightning in all processes but the first."""
        self._enabled = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._clock.start(trainer)
        self._said = perf_counter()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx: int) -> None:
        """Let the clock know of a step; log it if the last line is old."""
        self._clock.step(trainer)
        if perf_counter() - self._said > _PAUSE:
            self._say(
                trainer, f"step {batch_idx + 1}/{trainer.num_training_batches}  loss {outputs['loss'].item():.4f}"
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the line."""
        metrics, val_metric = trainer.callback_metrics, f"val/{pl_module.metric}"
        self._say(trainer, f"train/loss {metrics['train/loss']:.4f}  {val_metric} {metrics[val_metric]:.4f}")

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of the validation."""
        self._began = self._said = perf_counter()

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx: int, dataloader_idx=0) -> None:
        """Log how far the validation is if the last line is old."""
        self._say_batches("validation", batch_idx + 1, sum(trainer.num_val_batches))

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of the test."""
        self._began = self._said = perf_counter()

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx: int, dataloader_idx=0) -> None:
        """Log how far the test is if the last line is old."""
        self._say_batches("test", batch_idx + 1, sum(trainer.num_test_batches))

    def _say_batches(self, what: str, done: int, batches: int) -> None:
        now = perf_counter()
        if self._enabled and now - self._said > _PAUSE:
            self._said, seconds = now, (now - self._began) / done * (batches - done)
            log.info(f"{what}  batch {done}/{batches}  ends in {timedelta(seconds=round(seconds))}")

    def _say(self, trainer: pl.Trainer, figures: str) -> None:
        self._said = perf_counter()
        if self._enabled:
            log.info(
                f"{_title(self._stage)} {trainer.current_epoch + 1}/{trainer.max_epochs}  {figures}  "
                f"{samples_per_s(trainer):.0f} samples/s  {self._stage or 'run'} ends in {self._clock.left(trainer)}"
            )


def progress(stage: str | None = None) -> ProgressBar:
    """A bar where there is a terminal, else log lines; of the run, or of a stage of it."""
    return RunProgressBar(stage) if Console().is_terminal else EpochLog(stage)


def _title(stage: str | None) -> str:
    return f"{stage} epoch" if stage else "epoch"
