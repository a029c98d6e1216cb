"""Checkpoints: the best epoch and the last one, written, found again, and refused in one line where they do not fit.

A checkpoint holds tensors and plain containers only, so that `torch.load(weights_only=True)` reads it.
"""

import logging
from pathlib import Path
from time import monotonic
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from torch import nn

from longrange.errors import CheckpointError
from longrange.training.durable import damaged_part, keep_previous, write_whole

log = logging.getLogger(__name__)

BEST, LAST, PREVIOUS = "best.ckpt", "last.ckpt", "previous.ckpt"
MODEL_PREFIX = "model."  # of the model's tensors within the Lightning module


BEFORE_VALIDATION_S = 30.0  # at most that many seconds since a checkpoint when an epoch's last step begins


class BestAndLast(Checkpoint):
    """Writes `best.ckpt`, the first epoch with the best validation metric, and `last.ckpt`.

    `last.ckpt` is written after every epoch, within a long one every so often, and before its last step, since a
    process that is stopped in validation can write nothing; `previous.ckpt` is the one before.

    Args:
        folder: where to.
        every_s: seconds between two within an epoch.

    Attributes:
        best_score: validation metric of the best epoch so far; None before the first.
        best_epoch: counted from 0.
    """

    def __init__(self, folder: Path, every_s: float):
        self.folder, self.every_s = folder, every_s
        self.best_score: float | None = None
        self.best_epoch = -1
        self._written = monotonic()

    @property
    def best(self) -> Path:
        """File of the best epoch."""
        return self.folder / BEST

    @property
    def last(self) -> Path:
        """The newest file."""
        return self.folder / LAST

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Make the folder; a run without it was refused before it trained, and its own folder goes, too."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *step: Any) -> None:
        """Write within an epoch where it is time for it."""
        before_last_step = trainer.fit_loop.epoch_loop.batch_idx == _last_step(trainer) - 1
        wait = min(self.every_s, BEFORE_VALIDATION_S) if before_last_step else self.every_s
        if trainer.strategy.reduce_boolean_decision(monotonic() - self._written > wait, all=False):
            self.save_within_epoch(trainer)

    def save_within_epoch(self, trainer: pl.Trainer) -> bool:
        """Write `last.ckpt` between two optimiser steps of an epoch; False where there is no such moment."""
        parts_done = trainer.fit_loop.epoch_loop.batch_idx + 1
        between = parts_done % trainer.accumulate_grad_batches == 0 and parts_done < trainer.num_training_batches
        if between:
            self._save_last(trainer)
        return between

    def _save_last(self, trainer: pl.Trainer) -> None:
        if trainer.is_global_zero:
            keep_previous(self.last, self.folder / PREVIOUS)
        trainer.save_checkpoint(self.last)
        self._written = monotonic()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Agree on the folder: the one of the first process, which writes."""
        self.folder = trainer.strategy.broadcast(self.folder)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write after the epoch's validation; the state of the other callbacks is complete by then."""
        score = trainer.callback_metrics[f"val/{pl_module.metric}"].item()
        sign = 1.0 if pl_module.mode == "max" else -1.0
        if self.best_score is None or sign * score > sign * self.best_score:
            self.best_score, self.best_epoch = score, trainer.current_epoch
            trainer.save_checkpoint(self.best)
        self._save_last(trainer)

    def state_dict(self) -> dict[str, Any]:
        """The best epoch so far."""
        return {"best_score": self.best_score, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the best epoch of a checkpoint, if `best.ckpt` still is that one.

        A run that was killed between its two files left a later one: of the epoch that comes now, the best so far.
        """
        if state_dict["best_score"] is None or self._is_of(state_dict["best_epoch"]):
            self.best_score, self.best_epoch = state_dict["best_score"], state_dict["best_epoch"]

    def _is_of(self, epoch: int) -> bool:
        try:
            return load(self.best)["epoch"] == epoch
        except CheckpointError as problem:
            log.warning(f"{problem}; the best epoch will be one of those to come")
            return False


def resolve(resume: str | None, folder: Path) -> Path | None:
    """The checkpoint to resume from.

    Args:
        resume: None for a fresh run, "auto" for the newest good checkpoint in `folder` or else a fresh run, "last" for
            `last.ckpt` in `folder`, or a path.
        folder: of the run's checkpoints.
    Raises:
        CheckpointError: the file does not exist, or all that do are damaged.
    """
    if resume is None:
        return None
    if resume == "auto":
        return _newest_good(folder)
    path = folder / LAST if resume == "last" else Path(resume)
    if not path.is_file():
        hint = "; this run has none yet, leave resume out to start it" if resume == "last" else ""
        raise CheckpointError(f"resume={resume}: there is no file {path}{hint}")
    return path


def _newest_good(folder: Path) -> Path | None:
    """Says which ones it passes over."""
    found = [folder / name for name in (LAST, PREVIOUS, BEST) if (folder / name).is_file()]
    for path in found:
        try:
            load(path)
            return path
        except CheckpointError as problem:
            log.warning(f"{problem}; trying the one before")
    if found:
        raise CheckpointError(f"{folder}: no good checkpoint among {', '.join(path.name for path in found)}; remove it")
    return None


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU.

    Raises:
        CheckpointError: the file is missing, damaged, or not a checkpoint of this program.
    """
    if not path.is_file():
        best = path / "checkpoints" / BEST
        hint = f"; did you mean {best}?" if best.is_file() else ""
        raise CheckpointError(f"{path}: there is no such checkpoint{hint}")
    try:
        if (part := damaged_part(path)) is not None:
            raise CheckpointError(f"{path}: damaged ({part} is not what was written); use an earlier checkpoint")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as problem:  # torch raises a dozen types, by the byte at which a file stops making sense
        with path.open("rb") as file:
            truncated = file.read(2) == b"PK"  # a zip archive, as torch writes, whose end is missing
        what = "damaged or truncated; use an earlier checkpoint" if truncated else "not a checkpoint"
        raise CheckpointError(f"{path}: {what}") from problem
    if not isinstance(checkpoint, dict) or not {"state_dict", "config", "loops"} <= checkpoint.keys():
        raise CheckpointError(f"{path}: a torch file, but not a checkpoint of a longrange training")
    return checkpoint


def load_weights(model: nn.Module, checkpoint: dict[str, Any], path: Path) -> None:
    """Put a checkpoint's weights into a model.

    Raises:
        CheckpointError: the model has other tensors; see `check_fits`.
    """
    check_fits(model, checkpoint, path)
    model.load_state_dict(_model_tensors(checkpoint))


def check_fits(model: nn.Module, checkpoint: dict[str, Any], path: Path) -> None:
    """Compare names and shapes of a checkpoint's tensors with the model's.

    Raises:
        CheckpointError: they differ; names the first difference and the model that the checkpoint is of.
    """
    here, there = model.state_dict(), _model_tensors(checkpoint)
    for name in [*here, *(name for name in there if name not in here)]:
        shapes = [tuple(tensors[name].shape) if name in tensors else "missing" for tensors in (there, here)]
        if shapes[0] != shapes[1]:
            raise CheckpointError(
                f"{path}: a checkpoint of another model ({describe(checkpoint['config'])}): "
                f"{name} is {shapes[0]} in the checkpoint and {shapes[1]} in this model"
            )


def epochs_done(checkpoint: dict[str, Any], model: nn.Module, epochs: int, path: Path, key: str = "epochs") -> int:
    """How many epochs a training that goes on from a checkpoint has behind it.

    Args:
        checkpoint: as from `load`.
        model: of the training.
        epochs: how many it shall have.
        path: of the checkpoint.
        key: the setting that says how many.
    Raises:
        CheckpointError: the checkpoint is of another model or has more epochs behind it.
    """
    check_fits(model, checkpoint, path)
    done = checkpoint["epoch"] + (batches_behind(checkpoint) == 0)
    if done > epochs:
        raise CheckpointError(f"{path}: has {done} epochs behind it, more than {key}={epochs}")
    return done


def batches_behind(checkpoint: dict[str, Any]) -> int:
    """Batches of an unfinished epoch behind a checkpoint, as the loader counts them; 0 after a whole epoch."""
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    return 0 if progress["is_last_batch"] else progress["current"]["ready"]


def describe(config: dict[str, Any]) -> str:
    """A checkpoint's model and task in a few words, from its stored config."""
    model, data = config["model"], config["data"]
    layer = model.get("layer", model)["_target_"].rpartition(".")[2]
    sizes = ", ".join(f"{key}={model[key]}" for key in ("n_layers", "d_model") if key in model)
    return f"{layer}, {sizes}, on {data['_target_'].rpartition('.')[2]}"


def adopt_best(source: Path, checkpoint: dict[str, Any], folder: Path) -> None:
    """Copy the best checkpoint of another run beside those of a run that continues it.

    Args:
        source: checkpoint in the other run's folder, with at least an epoch behind it and so with that run's
            `best.ckpt` beside it.
        checkpoint: what is in it.
        folder: of this run's checkpoints.
    Raises:
        CheckpointError: `best.ckpt` is not there, or of a later epoch than the checkpoint.
    """
    best = source.parent / BEST
    if not best.is_file():
        raise CheckpointError(f"resume={source}: its run's best epoch, best.ckpt, must lie beside it")
    if source.parent.resolve() != folder.resolve():
        check_best(best, checkpoint["callbacks"][BestAndLast.__qualname__]["best_epoch"])
        write_whole(folder / BEST, best.read_bytes())


def check_best(best: Path, epoch: int) -> dict[str, Any]:
    """Read `best.ckpt`, which must be of the epoch, counted from 0, that a training takes for its best.

    Raises:
        CheckpointError: it cannot be read, or is of another.
    """
    checkpoint = load(best)
    if checkpoint["epoch"] != epoch:
        raise CheckpointError(
            f"{best}: of epoch {checkpoint['epoch'] + 1}, but the checkpoint resumed from has epoch {epoch + 1} for "
            "its best, whose weights are gone; go on from the last.ckpt that was written with it"
        )
    return checkpoint


def _model_tensors(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(MODEL_PREFIX): tensor
        for name, tensor in checkpoint["state_dict"].items()
        if name.startswith(MODEL_PREFIX)
    }


def _last_step(trainer: pl.Trainer) -> int:
    """Index of the first part of an epoch's last optimiser step."""
    return int(trainer.num_training_batches) - trainer.accumulate_grad_batches
