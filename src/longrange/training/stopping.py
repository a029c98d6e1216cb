"""Stopping a training from outside: a checkpoint first, then an exit code that says to start it again."""

import logging
import signal
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from longrange.errors import StoppedError
from longrange.training.checkpoint import BestAndLast

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class StopOnSignal(Callback):
    """Ends the training after the step at hand when the process is told to stop; a second Ctrl-C ends it at once.

    SIGTERM and SIGUSR1 are what clusters send before they take a machine away. During validation there is nothing to
    write: the weights have not changed since the checkpoint before it.

    Args:
        checkpoints: writes the checkpoint.
    """

    def __init__(self, checkpoints: BestAndLast):
        self.checkpoints, self.received = checkpoints, 0
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen, instead of Lightning, which would stop between the parts of a step or ask SLURM for a new job."""
        self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *step: Any) -> None:
        """Write and stop where that was asked for; after an epoch's last step, validation comes first."""
        if self._asked(trainer) and self.checkpoints.save_within_epoch(trainer):
            self._stop(trainer)

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *step: Any) -> None:
        """Stop where that was asked for."""
        if trainer.state.fn == "fit" and self._asked(trainer):
            self._stop(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop listening."""
        self._restore()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Stop listening."""
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received:
            raise KeyboardInterrupt
        self.received = number
        log.info(f"{signal.Signals(number).name}: stopping after this step; Ctrl-C again stops at once")

    def _asked(self, trainer: pl.Trainer) -> bool:
        """Whether any process was told to stop."""
        return trainer.strategy.reduce_boolean_decision(bool(self.received), all=False)

    def _stop(self, trainer: pl.Trainer) -> None:
        number = signal.Signals(self.received or signal.SIGTERM)
        raise StoppedError(number, f"stopped by {number.name} at step {trainer.global_step}, {self.checkpoints.last}")
