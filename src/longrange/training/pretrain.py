"""The stage before a training: its model learns from the task's own training sequences, without their labels.

Source: "Never Train from Scratch" (arXiv 2310.02980). Encoder and blocks are trained in place, under a head that is
dropped afterwards; the epoch with the best validation loss is kept, and the training goes on from there.
"""

import logging
import os
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger

from longrange.data.module import SequenceDataModule
from longrange.errors import CheckpointError, ConfigError
from longrange.training.build import build, build_trainer
from longrange.training.callbacks import FiniteGuard, History, Throughput
from longrange.training.checkpoint import (
    LAST,
    BestAndLast,
    batches_behind,
    check_best,
    epochs_done,
    load,
    load_weights,
    resolve,
)
from longrange.training.loggers import EpochCSV
from longrange.training.outcome import Pretraining
from longrange.training.pretrain_objectives import Objective
from longrange.training.pretrain_task import PretrainingTask
from longrange.training.progress import progress
from longrange.training.stopping import StopOnSignal
from longrange.training.task import SequenceTask

log = logging.getLogger(__name__)


class Stage:
    """The stage of one run, in the folder `pretrain` of the run's.

    Args:
        cfg: the run's configuration, with `pretrain`.
        task: the run's task, whose model the stage trains.
    Raises:
        ConfigError: settings that are none, or a model that would see what it should predict.
        CheckpointError: the stage is to go on from a checkpoint that does not fit.

    Attributes:
        resumed_from: the checkpoint of an interrupted or finished stage that `resume=auto` goes on from; None where
            there is none, or where the training that follows has a checkpoint already.
    """

    def __init__(self, cfg: DictConfig, task: SequenceTask):
        if cfg.pretrain.epochs < 1:
            raise ConfigError(f"pretrain.epochs={cfg.pretrain.epochs}: must be at least 1")
        self.objective = build(cfg.pretrain.objective)
        if not isinstance(self.objective, Objective):
            raise ConfigError("pretrain.objective: must be Masked or Causal of longrange.training.pretrain_objectives")
        self.objective.check(task.model)
        self.module = PretrainingTask(task, self.objective, build(cfg.pretrain.scheduler))
        self.folder, self.epochs = Path(cfg.paths.run_dir, "pretrain"), cfg.pretrain.epochs
        own = {"max_epochs": self.epochs, "default_root_dir": str(self.folder)}
        self.trainer = OmegaConf.merge(cfg.trainer, own)
        self.checkpoints = BestAndLast(self.folder / "checkpoints", cfg.save_every_s)
        self.resumed_from: Path | None = None
        self._behind = 0, 0
        later = Path(cfg.paths.run_dir, "checkpoints", LAST)
        if cfg.resume in ("auto", "last") and not later.is_file():
            self.resumed_from = resolve("auto", self.checkpoints.folder)
            if self.resumed_from is not None:
                self._announce(self.resumed_from)

    def run(self, data: SequenceDataModule, loggers: list[Logger]) -> Pretraining:
        """Train the stage, and leave the weights of its best epoch in the task's model.

        Args:
            data: the task's; labels are not read, nor is the test split.
            loggers: the run's; they get the stage's metrics as `pretrain/...`.
        """
        history = History()
        files = self.checkpoints
        watchers = [history, Throughput(), progress("pretraining"), FiniteGuard(), StopOnSignal(files), files]
        trainer = build_trainer(self.trainer, watchers, [StageLogger(logger, self.folder) for logger in loggers])
        if trainer.is_global_zero:
            log.info(f"pretraining ({self.objective.name}): {self.epochs} epochs, folder: {self.folder}")
        began = perf_counter()
        data.epochs_behind, data.behind = self._behind
        trainer.fit(self.module, data, ckpt_path=self.resumed_from, weights_only=True)
        data.epochs_behind = data.behind = 0
        wall_s = perf_counter() - began
        if trainer.world_size > 1:  # Lightning forgets them when it is done, and the training has the same
            os.environ.setdefault("WORLD_SIZE", str(trainer.world_size))
        load_weights(self.module.model, check_best(files.best, files.best_epoch), files.best)
        best = next(row for row in history.rows if row["epoch"] == self.checkpoints.best_epoch)
        if trainer.is_global_zero:
            epoch, loss = self.checkpoints.best_epoch + 1, best["val/loss"]
            log.info(f"the training begins with the weights of pretraining epoch {epoch}, val/loss {loss:.4f}")
        return Pretraining(
            objective=self.objective.name,
            epochs=len(history.rows),
            best_epoch=self.checkpoints.best_epoch,
            loss={split: best[f"{split}/loss"] for split in ("train", "val")},
            wall_s=wall_s,
            resumed=self.resumed_from is not None,
        )

    def _announce(self, path: Path) -> None:
        checkpoint = load(path)
        done = epochs_done(checkpoint, self.module.model, self.epochs, path, "pretrain.epochs")
        self._behind = done, batches_behind(checkpoint)
        log.info(f"{path}: going on after epoch {done}/{self.epochs} of the pretraining")


class StageLogger(Logger):
    """Hands a stage's metrics to a logger of the run as `pretrain/<name>`, so that they stay apart from the training's.

    The table of epochs, `metrics.csv`, is a file of its own: the stage's epoch 3 is not that of the training.

    Args:
        logger: of the run; it is not closed when the stage ends.
        folder: of the stage.
    """

    def __init__(self, logger: Logger, folder: Path):
        super().__init__()
        self.logger = EpochCSV(str(folder)) if isinstance(logger, EpochCSV) else logger

    @property
    def name(self) -> str | None:
        """The logger's."""
        return self.logger.name

    @property
    def version(self) -> int | str | None:
        """The logger's."""
        return self.logger.version

    def log_hyperparams(self, *arguments: Any, **options: Any) -> None:
        """Nothing; the training that follows logs the run's."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Pass the metrics on; the epoch keeps its name."""
        self.logger.log_metrics({_renamed(name): value for name, value in metrics.items()}, step)


class Origin(Callback):
    """Remembers what a training began with; travels in its checkpoints, so that a resumed run knows it too.

    Attributes:
        pretraining: as `Stage.run` returned it; None for random weights.
    """

    def __init__(self, pretraining: Pretraining | None):
        self.pretraining = pretraining

    def state_dict(self) -> dict[str, Any]:
        """The stage in plain containers."""
        return {"pretraining": self.pretraining and asdict(self.pretraining)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what a checkpoint's training began with."""
        stage = state_dict["pretraining"]
        self.pretraining = stage and Pretraining(**stage)


def check_origin(checkpoint: dict[str, Any], cfg: DictConfig, path: Path) -> None:
    """Refuse to go on with a training that began otherwise than this command says.

    Raises:
        CheckpointError: another objective, or none.
    """
    there, here = (_origin(config) for config in (checkpoint["config"], OmegaConf.to_container(cfg)))
    if there != here:
        raise CheckpointError(
            f"{path}: its run began with pretrain={there}, this one with pretrain={here}; give the same"
        )


def _origin(config: Any) -> str:
    """E.g. "masked (ratio 0.1, span 1)"."""
    if not config.get("pretrain"):
        return "none"
    settings = dict(config["pretrain"]["objective"])
    name = settings.pop("_target_").rpartition(".")[2].lower()
    return name if not settings else f"{name} ({', '.join(f'{key} {value}' for key, value in settings.items())})"


def _renamed(name: str) -> str:
    return name if name == "epoch" else f"pretrain/{name}"
