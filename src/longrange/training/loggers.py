"""Where metrics go while a training runs: a CSV file, TensorBoard, Weights & Biases."""

import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from longrange.csv_files import as_csv, read_csv
from longrange.errors import ConfigError
from longrange.training.checkpoint import BestAndLast
from longrange.training.durable import write_whole

log = logging.getLogger(__name__)

_PATIENCE = 30  # seconds in which wandb's server must answer


class EpochCSV(Logger):
    """`metrics.csv` with one row per epoch; a resumed run goes on in the same file, and repeated epochs replace theirs.

    A run that goes on from a checkpoint of another folder has its own epochs in it; its record has all.

    The test's metrics stand in the row of the epoch whose weights were tested.

    Args:
        save_dir: the run's folder.
    """

    def __init__(self, save_dir: str):
        super().__init__()
        self.path = Path(save_dir, "metrics.csv")
        self._rows = self._read()

    @property
    def name(self) -> str:
        """As every Lightning logger has one."""
        return "csv"

    @property
    def version(self) -> str:
        """A run's folder has one version only."""
        return ""

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        """Nothing; the run's record holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Merge metrics into the row of their epoch and write the file."""
        if metrics.keys() > {"epoch"}:
            epoch = int(metrics["epoch"])
            self._rows.setdefault(epoch, {}).update(metrics, epoch=epoch)
            self._write()

    def _read(self) -> dict[int, dict[str, Any]]:
        if not self.path.exists():
            return {}
        return {int(row["epoch"]): row for row in read_csv(self.path)}

    def _write(self) -> None:
        names = sorted({name for row in self._rows.values() for name in row} - {"epoch"})
        write_whole(self.path, as_csv([row for _, row in sorted(self._rows.items())], ["epoch", *names]))


class TestedEpoch(Callback):
    """Files the test's metrics under the epoch whose weights are tested; Lightning would take the number of epochs.

    Args:
        checkpoints: knows the selected epoch.
    """

    def __init__(self, checkpoints: BestAndLast):
        self.checkpoints = checkpoints

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the epoch beside the metrics, for every logger."""
        pl_module.log("epoch", float(self.checkpoints.best_epoch), sync_dist=True)


def tensorboard(save_dir: str) -> TensorBoardLogger:
    """Event files in the run's folder.

    Raises:
        ConfigError: TensorBoard is not installed.
    """
    try:
        return TensorBoardLogger(save_dir, name="", version="tensorboard", default_hp_metric=False)
    except ModuleNotFoundError as problem:
        raise ConfigError("logger=tensorboard: not installed; pip install 'longrange[tensorboard]'") from problem


def wandb(save_dir: str, project: str, offline: bool) -> WandbLogger:
    """A run of Weights & Biases of its own for this job, in the run's folder; resumed where that folder has one.

    Args:
        save_dir: the run's folder; wandb writes to its subfolder "wandb".
        project: of the wandb account.
        offline: write a folder for `wandb sync` instead of sending.
    Raises:
        ConfigError: wandb cannot be reached or has no API key.
    """
    import wandb as client  # takes a second to import, and most runs do without

    Path(save_dir).mkdir(parents=True, exist_ok=True)
    try:
        run = client.init(
            project=project,
            dir=save_dir,
            name="/".join(Path(save_dir).parts[-3:]),
            id=_previous_run_id(Path(save_dir, "wandb")),
            resume="allow",
            mode="offline" if offline else "online",
            reinit="create_new",
            settings=client.Settings(console="off", silent=offline, init_timeout=_PATIENCE),
        )
    except client.errors.Error as problem:
        reason = str(problem).splitlines()[0].rstrip(".")
        raise ConfigError(f"logger=wandb: {reason}; use logger=wandb_offline, and wandb sync later") from problem
    run.define_metric("*", step_metric="epoch")
    if offline:
        log.info(f"to send this run later: wandb sync {run.settings.sync_dir}")
    return WandbLogger(experiment=run)


def close(loggers: list[Logger], failed: bool) -> None:
    """End the wandb runs among the loggers, so that the next job of this process starts its own."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish(exit_code=int(failed))


def _previous_run_id(folder: Path) -> str | None:
    """From the newest of the folders `[offline-]run-<time>-<id>[-<count>]` that wandb makes."""
    runs = sorted(folder.glob("*run-*-*"), key=lambda run: run.stat().st_mtime)
    return runs[-1].name.removeprefix("offline-").split("-")[2] if runs else None
