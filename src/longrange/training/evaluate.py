"""Evaluation of a checkpoint, with its own configuration or parts of another."""

import math
import os
import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from longrange.errors import CheckpointError, ConfigError
from longrange.overrides import is_within, key_of
from longrange.training.build import build, build_task, build_trainer
from longrange.training.checkpoint import load, load_weights
from longrange.training.noise import quiet
from longrange.training.progress import progress
from longrange.training.train import by_split
from longrange.training.values import check_values, leaves

Metrics = dict[str, dict[str, float]]
_OWN = ("checkpoint", "rate", "packages", "targets", "launcher", "hydra")  # of the evaluation, not of the run
_CHANGEABLE = ("data", "trainer", "paths", "backend")  # of the run, with all that is in them


def evaluate(cfg: DictConfig) -> dict[str, Metrics]:
    """Loss and metric of a checkpoint on the whole validation and test splits, unless limits are given here.

    Where `data.sample_rate` is another than in training, both are measured, the model's time step following the data's.

    Args:
        cfg: as composed from configs/evaluate.yaml: `checkpoint`, a file; `overrides`, what the command line says,
            whose values in `cfg` replace those of the checkpoint's run; `rate`, a factor on the model's time step; None
            follows `data.sample_rate`; `targets`, what the checkpoint's configuration may call to build its objects,
            and `packages`, whose contents it may call besides.
    Returns:
        By heading, e.g. {"16000 Hz": {"val": {"accuracy": 0.48, "loss": 1.4}, "test": {...}}, "8000 Hz, rate 2": ...}.
    Raises:
        CheckpointError: the file is missing, damaged, not a checkpoint, does not fit the model, or calls what is not
            trusted.
        ConfigError: an override of what the checkpoint decides, a key that its run did not have, or a rate that is not
            above 0.
    """
    path = Path(cfg.checkpoint)
    _check_own(cfg)
    checkpoint = load(path)
    _check_trusted(checkpoint["config"], cfg, path)
    trained = OmegaConf.create(checkpoint["config"])
    whole = {f"limit_{split}_batches": None for split in ("val", "test")}  # whatever the run left out
    run = with_overrides(OmegaConf.merge(_where_data_is(trained.copy(), cfg), {"trainer": whole}), cfg)
    own, other = (OmegaConf.select(each, "data.sample_rate") for each in (trained, run))
    check_values(run)
    changed = bool(own and other and own != other)
    rate = cfg.rate if cfg.rate is not None else own / other if changed else 1.0
    heading = " ".join([*([f"{other} Hz,"] if other else []), f"rate {rate:g}"])
    if not changed:
        return {heading: _measure(run, rate, checkpoint, path)}
    as_trained = OmegaConf.merge(run, {"data": {"sample_rate": own}})
    return {
        f"{own} Hz, rate 1": _measure(as_trained, 1.0, checkpoint, path),
        heading: _measure(run, rate, checkpoint, path),
    }


def _check_own(cfg: DictConfig) -> None:
    if not (cfg.rate is None or (isinstance(cfg.rate, int | float) and 0 < cfg.rate < math.inf)):
        raise ConfigError(f"rate={cfg.rate}: a factor on the time step, a number above 0")
    if not isinstance(cfg.packages, ListConfig):
        raise ConfigError(f"packages={cfg.packages}: a list, such as packages=[{cfg.packages}]")
    for override in cfg.overrides:
        _check_changeable(override)


def _check_changeable(override: str) -> None:
    """Refuse what would have no effect: how the model was trained is in its weights."""
    key = key_of(override)
    if key == "experiment":
        raise ConfigError("experiment=...: a checkpoint brings its own; name single groups or keys, such as data=...")
    if override.startswith("~"):
        raise ConfigError(f"{override}: an evaluation takes nothing away from the run of its checkpoint; leave it out")
    if not is_within(key, (*_OWN, *_CHANGEABLE)):
        raise ConfigError(
            f"{override.lstrip('+')}: the checkpoint decides this; an evaluation can change {', '.join(_CHANGEABLE)} "
            f"and the keys in them, and has {', '.join(_OWN[:3])} of its own"
        )


def _where_data_is(run: DictConfig, cfg: DictConfig) -> DictConfig:
    """The run's configuration with its data sets in the folder of the evaluation.

    That is the one that it names, by `paths.data` or LONGRANGE_DATA, or else the run's, if that is still there.
    """
    said = "LONGRANGE_DATA" in os.environ or any(text.startswith("paths.data=") for text in cfg.overrides)
    before, now = run.paths.data, cfg.paths.data
    if said or not Path(before).exists():
        for key in ("data_dir", "cache_dir"):
            if key in run.data and Path(run.data[key]).is_relative_to(before):
                run.data[key] = str(Path(now, Path(run.data[key]).relative_to(before)))
        run.paths.data = now
    return run


def _check_trusted(config: dict[str, Any], cfg: DictConfig, path: Path) -> None:
    """Whatever a configuration names by `_target_` is called: a checkpoint from elsewhere must not choose it freely."""
    packages = tuple(f"{package}." for package in cfg.packages)
    for key, value in leaves(config):
        if key == "_target_" and not (value in cfg.targets or str(value).startswith(packages)):
            package = str(value).partition(".")[0]
            raise CheckpointError(
                f"{path}: would call {value}, which no file of configs/ names; if you trust it, packages=[{package}]"
            )
        if isinstance(value, str) and "${" in value:
            raise CheckpointError(f"{path}: {key}={value}: the configuration of a run has no such value")


def _measure(run: DictConfig, rate: float, checkpoint: dict[str, Any], path: Path) -> Metrics:
    data = build(run.data)
    task = build_task(run, data.spec)
    load_weights(task.model, checkpoint, path)
    task.rate = rate
    with quiet():
        trainer = build_trainer(run.trainer, [progress()], loggers=[])
        metrics = [*trainer.validate(task, data, verbose=False), *trainer.test(task, data, verbose=False)]
    return by_split({name: value for split in metrics for name, value in split.items()})


def with_overrides(run: DictConfig, cfg: DictConfig) -> DictConfig:
    """A run's configuration, with what the command line of an evaluation says.

    Args:
        run: the configuration in the checkpoint.
        cfg: of the evaluation; `overrides` names the keys and groups to take from it.
    Raises:
        ConfigError: a key that the run did not have; `+key=...` adds one nevertheless.
    """
    added = {override[1:].partition("=")[0] for override in cfg.overrides if re.match(r"\+[^+]", override)}
    keys = [override.lstrip("+").partition("=")[0] for override in cfg.overrides]
    for key in sorted(keys, key=lambda key: key.count(".")):  # whole groups first, then values in them
        if not is_within(key, _OWN):
            _check_known(run, key, added)
            OmegaConf.update(run, key, OmegaConf.select(cfg, key), merge=False, force_add=True)
    return run


def _check_known(run: DictConfig, key: str, added: set[str]) -> None:
    group, _, name = key.rpartition(".")
    known = OmegaConf.select(run, group) if group else run
    if key not in added and not (isinstance(known, DictConfig) and name in known):
        hint = f"; it has {', '.join(sorted(known))}" if group and isinstance(known, DictConfig) else ""
        raise ConfigError(f"{key}: the run of this checkpoint has no such key{hint}; +{key}=... adds it nevertheless")
