"""What a search is to do, checked before it starts: a mistake in the command or in the space stops it at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from longrange import diagnose
from longrange.cli import CONFIG_DIR, compose
from longrange.errors import ConfigError
from longrange.overrides import BOOKKEEPING, without
from longrange.results.run_folder import overrides_hash
from longrange.training.build import build, build_trainer
from longrange.training.noise import quiet
from longrange.tuning.space import Space, as_override, corners, read_space

_OWN = {"search", "workers", "storage", "heartbeat_s"}  # keys of configs/tune.yaml itself


@dataclass(frozen=True)
class Plan:
    """A search; plain enough to be sent to other processes.

    Attributes:
        study: its name in the storage.
        storage: URL of a database.
        trials: how many places the study has; a trial that completes, is pruned or fails fills one.
        space: what varies.
        overrides: command line of `train` that every trial shares.
        metric: selection metric, e.g. "accuracy"; of the validation split.
        direction: "maximize" or "minimize".
        folder: where the search writes.
        seed: of the trainings.
        heartbeat_s: seconds between two signs of life of a running trial.
        settings: the `search` config, with the `_target_`s of sampler and pruner.
    """

    study: str
    storage: str
    trials: int
    space: Space
    overrides: tuple[str, ...]
    metric: str
    direction: str
    folder: Path
    seed: int
    heartbeat_s: int
    settings: dict[str, Any]

    def sampler(self, number: int) -> BaseSampler:
        """The sampler for one trial. Of its own seed: one seed for all would propose the same point to every worker,
        and the first points again to a search that goes on.
        """
        seed = int(overrides_hash([f"{self.settings['seed']}", f"trial {number}"]), 16)
        return self._made("sampler", seed=seed)

    def pruner(self) -> BasePruner:
        """What ends a trial early."""
        return self._made("pruner")

    def command(self, params: dict[str, Any]) -> list[str]:
        """The overrides of a point: those that all share, then its own."""
        return [*self.overrides, *(as_override(name, value) for name, value in params.items())]

    def identity(self) -> dict[str, Any]:
        """What makes trials comparable; the same for every process that works on the study."""
        return {
            "command": sorted(without(self.overrides, BOOKKEEPING)),
            "space": {name: repr(over) for name, over in self.space.items()},
        }

    def _made(self, name: str, **arguments: Any) -> Any:
        try:
            return instantiate(self.settings[name], **arguments)
        except InstantiationException as problem:
            reason = " ".join(str(problem.__cause__ or problem).split())
            raise ConfigError(f"search.{name}: {reason}") from problem


def read_plan(cfg: DictConfig) -> Plan:
    """The search of a composed configs/tune.yaml.

    Raises:
        ConfigError: the command, the space or the base configuration cannot be used; names the first mistake.
    """
    if cfg.workers < 1 or cfg.search.trials < 1 or cfg.heartbeat_s < 1:
        raise ConfigError("workers, search.trials and heartbeat_s: must be at least 1")
    if cfg.resume is not None:
        raise ConfigError("resume: a search goes on by itself when its command is given again; leave resume out")
    space = read_space(_entries(cfg))
    base = _base_overrides(cfg)
    trained = _composed(base, cfg.paths.run_dir)
    _check_nothing_is_lost(cfg, trained)
    _check_corners(space, base, cfg.paths.run_dir)
    with quiet():
        build_trainer(trained.trainer, [], [])  # for what it refuses
    spec = build(trained.data).spec
    metric, direction = ("rmse", "minimize") if spec.loss == "mse" else ("accuracy", "maximize")
    plan = Plan(
        study=cfg.search.study,
        storage=cfg.storage,
        trials=cfg.search.trials,
        space=space,
        overrides=tuple(base),
        metric=metric,
        direction=direction,
        folder=Path(cfg.paths.run_dir),
        seed=cfg.seed,
        heartbeat_s=cfg.heartbeat_s,
        settings=OmegaConf.to_container(cfg.search),
    )
    plan.sampler(0)  # these two also for what they refuse
    plan.pruner()
    return plan


def _entries(cfg: DictConfig) -> dict[str, Any]:
    """What stands for each key: the command line's as it is, else the file's; without those that are set to null.

    Hydra merges the two, and a `log: true` of the file would go on to hold for a range of the command line.
    """
    if not isinstance(cfg.search.space, DictConfig):
        raise ConfigError(f"search.space={cfg.search.space}: holds no keys; search.space.<key>=null takes one out")
    found = OmegaConf.to_container(cfg.search.space)
    for override in OverridesParser.create().parse_overrides(list(cfg.name.overrides)):
        if override.key_or_group == "search.space" and not override.is_delete():
            found |= override.value()
    return {name: given for name, given in found.items() if given is not None}


def _base_overrides(cfg: DictConfig) -> list[str]:
    """What the trials' command lines share: this one without what is the search's own, with the search's experiment."""
    given = without(cfg.name.overrides, _OWN)
    parsed = OverridesParser.create().parse_overrides(given)
    if deleted := [override.input_line for override in parsed if override.is_delete()]:
        raise ConfigError(f"{deleted[0]}: a search cannot delete keys; set them to null")
    if cfg.name.experiment is not None and not any(override.key_or_group == "experiment" for override in parsed):
        given.insert(0, f"experiment={cfg.name.experiment}")
    return given


def _composed(overrides: list[str], run_dir: str) -> DictConfig:
    """The configuration that a trial would train there.

    Raises:
        ConfigError: it does not compose; in the words of the command line.
    """
    try:
        return compose("train", overrides, run_dir)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(diagnose.composition_error(error, CONFIG_DIR, "train", overrides)) from error


def _check_corners(space: Space, base: list[str], run_dir: str) -> None:
    """Refuse a space that names keys or options which there are not."""
    for name, over in space.items():
        for value in corners(over):
            _composed([*base, as_override(name, value)], run_dir)


def _check_nothing_is_lost(cfg: DictConfig, trained: DictConfig) -> None:
    """Refuse a search file that sets more than `search` and the experiment: no trial would see it."""
    lost = [key for key in trained if key not in ("name", "paths") and key in cfg and cfg[key] != trained[key]]
    if lost:
        raise ConfigError(f"the search file sets {lost[0]}, which belongs into an experiment or on the command line")
