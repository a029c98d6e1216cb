"""How the processes of a training come to be, and which ways are refused before they do harm."""

import signal

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher, _SubprocessScriptLauncher

from longrange.errors import ConfigError
from longrange.ranks import process_count

# Lightning starts further processes by repeating the command, which does for scripts of one training.
REPEATABLE = ("train", "evaluate")


class EndTogether(Callback):
    """Ends the processes that Lightning has started when this one fails; they would wait for it."""

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """End them at once: what is worth keeping, this process writes."""
        if isinstance(trainer.strategy.launcher, _SubprocessScriptLauncher):
            trainer.strategy.launcher.kill(signal.SIGKILL)


def check_processes(trainer: pl.Trainer) -> None:
    """Refuse a trainer whose processes would not work together.

    Raises:
        ConfigError: torchrun or srun has started another number of processes than the trainer is for; Lightning would
            start processes that repeat a whole sweep, or that cannot hand back what they find.
    """
    started, wanted = process_count(), trainer.num_devices * trainer.num_nodes
    launcher, environment = trainer.strategy.launcher, getattr(trainer.strategy, "cluster_environment", None)
    elsewhere = started > 1 or (environment is not None and environment.creates_processes_externally)
    if elsewhere and started != wanted and not isinstance(environment, LightningEnvironment):
        raise ConfigError(
            f"trainer: for {wanted} processes, but {started} were started; trainer=ddp, without "
            "trainer.devices, takes all that torchrun or srun --ntasks-per-node start"
        )
    if isinstance(launcher, _MultiProcessingLauncher):
        raise ConfigError(
            f"trainer.strategy: processes started by {launcher._start_method} cannot hand back what they find; "
            "take trainer.strategy=ddp"
        )
    if wanted > 1 and not elsewhere and _repeats_more_than_itself():
        raise ConfigError(
            f"trainer: each of its {wanted} processes would start all jobs again; start the processes "
            f"first, with torchrun --nproc-per-node {trainer.num_devices} scripts/train.py ..., or for each job with "
            f"launcher=slurm launcher.tasks={trainer.num_devices}; see docs/clusters.md"
        )


def _repeats_more_than_itself() -> bool:
    """Whether the command that runs does more than one training."""
    if not HydraConfig.initialized():
        return False
    hydra = HydraConfig.get()
    return hydra.mode is RunMode.MULTIRUN or hydra.job.config_name not in REPEATABLE
