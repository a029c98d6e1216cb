"""The commands of a visit to a machine with a GPU, one after another; see configs/measure.yaml."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from longrange.errors import ConfigError, nearest
from longrange.orchestration.jobs import Job, passed_on, within
from longrange.overrides import without
from longrange.results.run_folder import RECORD

# Keys of configs/measure.yaml itself, and what belongs to the training alone.
_OWN = {
    "budget_s",
    "grace_s",
    "parts",
    "only",
    "profile",
    "processes",
    "peers",
    "work",
    "out",
    "carried",
    "most_mib",
}
_OF_THE_TRAINING = {"experiment", "seed"}


@dataclass(frozen=True)
class Errand:
    """A command of a visit.

    Attributes:
        part: of the visit, a key of `parts`.
        label: for people, and for the report; no two have the same.
        command: its words; none where there is nothing to run.
        why: then, why.
    """

    part: str
    label: str
    command: tuple[str, ...] = ()
    why: str = ""


class Errands:
    """What a visit has to do.

    Args:
        cfg: as composed from configs/measure.yaml.
        repository: its folder, which holds scripts/ and the tests.
    Raises:
        ConfigError: no experiment, an unknown part, or an override that changes the published setting.
    """

    def __init__(self, cfg: DictConfig, repository: Path):
        if cfg.name.experiment is None:
            raise ConfigError("experiment=null: say what to train, e.g. experiment=listops/s5")
        for name in cfg.only or ():
            if name not in cfg.parts:
                raise ConfigError(f"only=[{name}]: no such part; nearest: {', '.join(nearest(name, cfg.parts))}")
        self.cfg, self.repository = cfg, repository
        self.further = passed_on(without(cfg.name.overrides, _OWN | _OF_THE_TRAINING))
        self.small: Mapping[str, Any] = OmegaConf.to_container(cfg.budget.overrides)
        self.outputs, self.results = Path(cfg.budget.outputs), Path(cfg.work, "results")
        overrides = (*self.further, *within(self.small, cfg.name.task, cfg.name.model))
        self.job = Job(cfg.name.experiment, None, cfg.seed, overrides)

    def __iter__(self) -> Iterator[Errand]:
        """The commands, each made when it is its turn: the row of a training needs its record."""
        makers = {
            "tests": self._tests,
            "profile": self._profile,
            "processes": self._processes,
            "peers": self._peers,
            "training": self._training,
        }
        for part in self.cfg.parts:
            if self.cfg.only is None or part in self.cfg.only:
                yield from makers[part]()

    def _tests(self) -> Iterator[Errand]:
        yield Errand("tests", "tests", (sys.executable, "-m", "pytest", "-m", "gpu", str(self.repository / "tests")))

    def _profile(self) -> Iterator[Errand]:
        for precision in self.cfg.profile.precisions:
            for experiment in self.cfg.profile.experiments:
                further = (f"trainer.precision={precision}", "benchmark.loader=false")
                label = f"profile {experiment} {precision}"
                yield Errand("profile", label, self._benchmark("profile", experiment, *further))

    def _processes(self) -> Iterator[Errand]:
        for experiment in self.cfg.processes.experiments:
            command = self._benchmark("processes", experiment, "benchmark.settings=[[1,1]]")
            yield Errand("processes", f"processes {experiment}", command)

    def _peers(self) -> Iterator[Errand]:
        own = [f"benchmark.python={self.cfg.peers.python}"] if self.cfg.peers.python else []
        for layer in ("s5", "s4"):
            checkout = self.cfg.peers[layer]
            for experiment in self.cfg.peers.experiments[layer] if checkout else ():
                command = self._benchmark("peers", experiment, f"benchmark.{layer}={checkout}", *own)
                yield Errand("peers", f"peers {experiment}", command)
            if not checkout:
                yield Errand("peers", f"peers {layer}", why=f"no peers.{layer}=<checkout> is given")

    def _training(self) -> Iterator[Errand]:
        train = (sys.executable, self._script("train"), *self.job.overrides, "resume=auto")
        yield Errand("training", f"training {self.job.label}", train)
        folder, label = self.job.folder(self.outputs), "row of the training"
        if folder is None or not (folder / RECORD).exists():
            yield Errand("training", label, why="it has not finished")
        elif self.cfg.budget.name != "full":
            yield Errand("training", label, why="a smoke run has none")
        else:
            table = str(self.results / "runs.csv")
            yield Errand("training", label, (sys.executable, self._script("add_result"), str(folder / RECORD), table))

    def _benchmark(self, what: str, experiment: str, *further: str) -> tuple[str, ...]:
        small = within(self.small, *experiment.split("/"))
        folder = f"benchmark.folder={self.results / what}"
        command = (f"benchmark={what}", f"experiment={experiment}", *self.further, *small, folder, *further)
        return (sys.executable, self._script("benchmark"), *command)

    def _script(self, name: str) -> str:
        return str(self.repository / "scripts" / f"{name}.py")
