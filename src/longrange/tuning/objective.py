"""One trial: a point of the space, trained in a folder of its own, watched epoch by epoch."""

import logging
import math
import shutil
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from multiprocessing import parent_process
from pathlib import Path

import pytorch_lightning as pl
from filelock import FileLock
from optuna import Trial, TrialPruned
from optuna.exceptions import OptunaError
from optuna.trial import FrozenTrial
from pytorch_lightning.callbacks import Callback

from longrange import diagnose, training
from longrange.cli import CONFIG_DIR, compose
from longrange.errors import CheckpointError, DataError, DivergedError, StoppedError
from longrange.results.record import write_record
from longrange.results.run_folder import overrides_hash
from longrange.tuning.plan import Plan
from longrange.tuning.space import shown, suggest
from longrange.tuning.study import REASON, begin, history

Say = Callable[[str], None]

# Mistakes that are not the point's: of the data, of the disk, of the database. They stop the search.
_NOT_THE_POINTS = (DataError, CheckpointError, OSError, OptunaError)


class PointFailedError(Exception):
    """A point that cannot be trained; its trial counts as failed, and the search goes on."""


class InterruptedTrialError(Exception):
    """The process is asked to stop; the trial's point is to be run again."""


class Watcher(Callback):
    """Reports a trial's validation curve, and ends the trial where it compares badly with the others.

    Args:
        trial: of Optuna.
        reported: epochs that an earlier process has reported already.
        say: takes a line for the terminal.
    """

    def __init__(self, trial: Trial, reported: set[int], say: Say):
        self.trial, self.reported, self.say = trial, reported, say

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End a worker whose starting process was killed; the epoch before is in the checkpoint by now."""
        stop_without_parent()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the epoch.

        Raises:
            TrialPruned: the pruner says so, and it is not the last epoch.
        """
        metric, epoch = f"val/{pl_module.metric}", trainer.current_epoch
        score = trainer.callback_metrics[metric].item()
        where = f"epoch {epoch + 1}/{trainer.max_epochs}"
        self.say(f"trial {self.trial.number}  {where}  {metric} {score:.4f}")
        if epoch not in self.reported:
            self.trial.report(score, epoch)
        if epoch + 1 < trainer.max_epochs and self.trial.should_prune():
            raise TrialPruned(f"after {where}")


def objective(trial: Trial, stored: FrozenTrial, plan: Plan, say: Say) -> float:
    """Train a trial's point.

    Args:
        trial: that this process has just taken.
        stored: the same, as the storage has it.
        plan: of the search.
        say: takes a line for the terminal.
    Returns:
        The validation metric of the best epoch.
    Raises:
        TrialPruned: it compared badly with other trials.
        PointFailedError: it cannot be trained; the reason stands in the trial.
        InterruptedTrialError: the process is asked to stop.
        DataError, OSError, ...: what would stop every other trial too.
    """
    origin = history(stored)[0] if history(stored) else trial.number
    trial.study.sampler = plan.sampler(origin)
    begin(trial)
    command = plan.command(suggest(trial, plan.space))
    folder = plan.folder / "trials" / f"{origin}-{overrides_hash(command)}"
    say(f"trial {trial.number}  begins: {shown(trial.params)}")
    try:
        with _output_to(folder / "trial.log"):
            return _train(trial, stored, command, folder, say)
    except TrialPruned as pruned:
        trial.set_user_attr(REASON, str(pruned))
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        raise
    except (KeyboardInterrupt, SystemExit, StoppedError) as stop:
        raise InterruptedTrialError from stop
    except _NOT_THE_POINTS:
        raise
    except Exception as error:
        reason = diagnose.run_error(error, CONFIG_DIR, "train", command) or f"{type(error).__name__}: {error}"
        trial.set_user_attr(REASON, " ".join(reason.split()))
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        raise PointFailedError from error


def stop_without_parent() -> None:
    """Nobody waits for a worker whose starting process was killed.

    Raises:
        KeyboardInterrupt: that is so.
    """
    parent = parent_process()
    if parent is not None and not parent.is_alive():
        raise KeyboardInterrupt


def _train(trial: Trial, stored: FrozenTrial, command: list[str], folder: Path, say: Say) -> float:
    """Go on from the checkpoint of the point's earlier process, if it left one here."""
    if history(stored):
        FileLock(folder / ".lock").acquire().lock.release()  # that process, if it lives after all, ends with its epoch
    cfg = compose("train", [*command, *(["resume=auto"] if history(stored) else [])], folder)
    outcome = training.train(cfg, Watcher(trial, set(stored.intermediate_values), say))
    write_record(outcome, cfg)
    score = outcome.metrics["val"][outcome.metric]
    if not math.isfinite(score):
        raise DivergedError(f"val/{outcome.metric} is {score}")
    return score


@contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Append what a training prints and logs to a file, with the traceback of what ends it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    root = logging.getLogger()
    with path.open("a", buffering=1) as file:
        handlers, level = root.handlers[:], root.level
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
        root.handlers[:] = [handler]
        root.setLevel(logging.INFO)
        try:
            with redirect_stdout(file), redirect_stderr(file):
                yield
        except BaseException:
            traceback.print_exc(file=file)
            raise
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
