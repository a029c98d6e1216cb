"""How the processes of a training come to be, and which ways are refused before they do harm."""

import os

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher

from longrange.errors import ConfigError

# Lightning starts further processes by repeating the command, which does for scripts of one training.
REPEATABLE = ("train", "evaluate")


def check_processes(trainer: pl.Trainer) -> None:
    """Refuse a trainer whose processes would not work together.

    Raises:
        ConfigError: this process is one of several that torchrun or srun has started, and the trainer is for one;
            Lightning would start processes that repeat a whole sweep, or that cannot hand back what they find.
    """
    started = int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_STEP_NUM_TASKS") or 1)
    if started > 1 and trainer.world_size == 1:
        raise ConfigError(f"{started} processes were started, but this trainer is for one: add trainer=ddp")
    launcher, environment = trainer.strategy.launcher, getattr(trainer.strategy, "cluster_environment", None)
    if isinstance(launcher, _MultiProcessingLauncher):
        raise ConfigError(f"trainer.strategy={trainer.strategy.strategy_name}: take trainer.strategy=ddp")
    if trainer.world_size > 1 and not environment.creates_processes_externally and _repeats_more_than_itself():
        raise ConfigError(
            f"trainer: each of its {trainer.world_size} processes would start all jobs again; start the processes "
            f"first, with torchrun --nproc-per-node {trainer.num_devices} scripts/train.py ..., or for each job with "
            f"launcher=slurm launcher.tasks={trainer.num_devices}; see docs/clusters.md"
        )


def _repeats_more_than_itself() -> bool:
    """Whether the command that runs does more than one training."""
    if not HydraConfig.initialized():
        return False
    hydra = HydraConfig.get()
    return hydra.mode is RunMode.MULTIRUN or hydra.job.config_name not in REPEATABLE
