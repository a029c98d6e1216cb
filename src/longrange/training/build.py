"""From a configuration to the objects of a training: task and trainer."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger

from longrange.errors import ConfigError, LongrangeError
from longrange.kernels import backend, round_projections
from longrange.kernels.memory import keep_freed_memory
from longrange.models.spec import TaskSpec
from longrange.training.callbacks import ReturnedMemory
from longrange.training.durable import DurableIO
from longrange.training.groups import rules_from
from longrange.training.processes import EndTogether, check_processes
from longrange.training.task import SequenceTask

TF32 = "tf32"  # a precision beside Lightning's: float32 whose projections may go through a GPU's tensor cores


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
        ConfigError: an unknown backend, a seed out of range, a negative rate or weight decay, or sizes that the model
            refuses.
    """
    if not 0 <= cfg.seed < 2**32:  # what numpy takes
        raise ConfigError(f"seed={cfg.seed}: must not be negative, nor above {2**32 - 1}")
    backend.select(cfg.backend)
    keep_freed_memory()
    torch.set_flush_denormal(True)  # gradients that underflow slow a matrix product down several times
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


def precision_of(cfg: DictConfig) -> str | int:
    """What Lightning is told of a trainer's precision, once the kernels know whether to round their factors.

    Args:
        cfg: a `trainer` config.
    """
    round_projections(cfg.precision == TF32)
    return "32-true" if cfg.precision == TF32 else cfg.precision


def precision_on(device: torch.device, cfg: DictConfig) -> str:
    """What the precision of a `trainer` config comes to on a device: a CPU rounds no factors."""
    return "32-true" if cfg.precision == TF32 and device.type == "cpu" else str(cfg.precision)


def build_trainer(cfg: DictConfig, callbacks: Sequence[Callback], loggers: Sequence[Logger]) -> pl.Trainer:
    """The trainer of a `trainer` config.

    Raises:
        ConfigError: no epochs or batches, what Lightning refuses, such as a GPU where there is none, or what
            `check_processes` refuses.
    """
    _check_epochs(cfg)
    for key in (f"limit_{split}_batches" for split in ("train", "val", "test")):
        if (limit := cfg.get(key)) is not None and limit <= 0:
            raise ConfigError(f"trainer.{key}={limit}: must be above 0, or null for all")
    try:
        trainer = instantiate(
            cfg,
            precision=precision_of(cfg),
            callbacks=[*callbacks, EndTogether(), ReturnedMemory()],
            logger=list(loggers),
            limit_train_batches=_limit_of_parts(cfg),
            plugins=[DurableIO()],
        )
    except InstantiationException as problem:
        reason = str(problem.__cause__ or problem).splitlines()[0].rstrip(".!")
        raise ConfigError(f"trainer: {reason}; trainer=cpu runs everywhere") from problem
    check_processes(trainer)
    return trainer


def _check_epochs(cfg: DictConfig) -> None:
    """Refuse to train for none, by the name of the key that was set."""
    epochs, whole = cfg.max_epochs, cfg._get_parent()
    if epochs is None or epochs < 1:
        overruled = isinstance(whole, DictConfig) and whole.get("epochs") != epochs
        key, shown = "trainer.max_epochs" if overruled else "epochs", "null" if epochs is None else epochs
        raise ConfigError(f"{key}={shown}: must be at least 1")


def _limit_of_parts(cfg: DictConfig) -> int | float | None:
    """The limit of batches an epoch as Lightning counts them, which is the parts that a batch is accumulated of."""
    parts, limit = cfg.get("accumulate_grad_batches", 1), cfg.get("limit_train_batches")
    if parts < 1:
        raise ConfigError(f"accumulate={parts}: must be at least 1")
    if parts > 1 and isinstance(limit, float):
        raise ConfigError(f"trainer.limit_train_batches={limit}: with accumulate={parts} give a number of batches")
    return limit and limit * parts
