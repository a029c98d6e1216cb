"""From a configuration to the objects of a training: task and trainer."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger

from longrange.errors import ConfigError, LongrangeError
from longrange.kernels import backend
from longrange.kernels.memory import keep_freed_memory
from longrange.models.spec import TaskSpec
from longrange.training.groups import rules_from
from longrange.training.task import SequenceTask


def build(cfg: DictConfig, **arguments: Any) -> Any:
    """The object that a config names by `_target_`.

    Args:
        cfg: with `_target_`, and its arguments.
        arguments: further ones; dataclasses arrive as they are.
    Raises:
        LongrangeError: from the object's constructor, as it was raised; Hydra would wrap it.
    """
    try:
        return instantiate(cfg, _convert_="object", **arguments)
    except InstantiationException as problem:
        if isinstance(problem.__cause__, LongrangeError):
            raise problem.__cause__ from None
        raise


def build_task(cfg: DictConfig, spec: TaskSpec) -> SequenceTask:
    """The Lightning module of a configuration, with freshly initialised weights that depend on `cfg.seed` alone.

    Raises:
        ConfigError: an unknown backend, a negative seed, rate or weight decay, or sizes that the model refuses.
    """
    if cfg.seed < 0:
        raise ConfigError(f"seed={cfg.seed}: must not be negative")
    backend.select(cfg.backend)
    keep_freed_memory()
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    return SequenceTask(
        build(cfg.model, spec=spec),
        spec,
        algorithm=build(cfg.optimizer.algorithm),
        rules=rules_from(cfg.optimizer.rules),
        scheduler=build(cfg.scheduler),
        seed=cfg.seed,
        config=OmegaConf.to_container(cfg, resolve=True),
    )


def build_trainer(cfg: DictConfig, callbacks: Sequence[Callback], loggers: Sequence[Logger]) -> pl.Trainer:
    """The trainer of a `trainer` config.

    Raises:
        ConfigError: no epochs, or what Lightning refuses, such as a GPU where there is none.
    """
    if cfg.max_epochs is None or cfg.max_epochs < 1:
        raise ConfigError(f"epochs={cfg.max_epochs}: must be at least 1")
    try:
        return instantiate(cfg, callbacks=list(callbacks), logger=list(loggers))
    except InstantiationException as problem:
        reason = str(problem.__cause__ or problem).splitlines()[0].rstrip(".!")
        raise ConfigError(f"trainer: {reason}; trainer=cpu runs everywhere") from problem
