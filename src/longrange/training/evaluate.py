"""Evaluation of a checkpoint, with its own configuration or parts of another."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from longrange.errors import ConfigError
from longrange.training.build import build, build_task, build_trainer
from longrange.training.checkpoint import load, load_weights
from longrange.training.noise import quiet
from longrange.training.progress import progress
from longrange.training.train import by_split


def evaluate(cfg: DictConfig) -> dict[str, dict[str, float]]:
    """Loss and metric of a checkpoint on the validation and the test split.

    Args:
        cfg: as composed from configs/evaluate.yaml: `checkpoint`, a file; `overrides`, what the command line says,
            whose values in `cfg` replace those of the checkpoint's run; `rate`, a factor on the model's time step,
            2.0 for data of half the sample rate it was trained at.
    Returns:
        E.g. {"val": {"accuracy": 0.48, "loss": 1.4}, "test": {...}}.
    Raises:
        CheckpointError: the file is missing, damaged, not a checkpoint, or does not fit the model.
        ConfigError: an override that cannot apply to a checkpoint.
    """
    path = Path(cfg.checkpoint)
    checkpoint = load(path)
    run = with_overrides(OmegaConf.create(checkpoint["config"]), cfg)
    data = build(run.data)
    task = build_task(run, data.spec)
    load_weights(task.model, checkpoint, path)
    task.rate = cfg.rate
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
        ConfigError: `experiment=...`, which the checkpoint decides.
    """
    keys = [override.lstrip("+").partition("=")[0] for override in cfg.overrides]
    if "experiment" in keys:
        raise ConfigError("experiment=...: a checkpoint brings its own; name single groups or keys, such as data=...")
    for key in sorted(keys, key=lambda key: key.count(".")):  # whole groups first, then values in them
        if key not in ("checkpoint", "rate"):
            OmegaConf.update(run, key, OmegaConf.select(cfg, key), merge=False, force_add=True)
    return run
