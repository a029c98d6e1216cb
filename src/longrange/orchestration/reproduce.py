"""What scripts/reproduce.py does: fill a table with the runs there are, train what is missing, show it and write it."""

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import time

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from longrange.errors import ConfigError
from longrange.orchestration.jobs import Job, launching, missing, passed_on
from longrange.orchestration.launch import Attempt, Workplace, one_by_one, print_attempts, resume, together
from longrange.results.cells import Cells, cells, with_pretrained
from longrange.results.layout import layout
from longrange.results.runs import Run, read_runs
from longrange.results.show import print_table
from longrange.results.table import Table
from longrange.results.table_files import write_tables
from longrange.terminal import table_console

COMMITTED = Path("results", "runs.csv")  # in the repository


class Reproduction:
    """A table, its runs, and the trainings that it lacks.

    Args:
        cfg: as composed from configs/reproduce.yaml.
        repository: its folder, which holds scripts/train.py and results/runs.csv.
        experiments: names of all settings in configs/experiment.
        environment: environment variables of the trainings.

    Raises:
        ConfigError: impossible values.
    """

    def __init__(self, cfg: DictConfig, repository: Path, experiments: Collection[str], environment: Mapping[str, str]):
        self.cfg, self.repository, self.experiments, self.environment = cfg, repository, experiments, environment
        self.plain = Table.from_config(cfg.name.table, OmegaConf.to_container(cfg.table))
        self.smoke = cfg.budget.name == "smoke"
        self.outputs = Path(cfg.budget.outputs)
        for key, choices in (("run", ("missing", "commands", None)), ("protocol", ("heldout", "paper"))):
            if cfg[key] not in choices:
                words = " or ".join("null" if choice is None else choice for choice in choices)
                raise ConfigError(f"{key}={cfg[key]}: must be {words}")
        if cfg.run and not cfg.records:
            raise ConfigError("records=false: shows the committed runs alone; leave it out where trainings are started")

    def runs(self) -> list[Run]:
        """The runs to show: smoke runs as if they were real ones where this is a smoke test, else never."""
        rows = [] if self.smoke else [self.repository / COMMITTED]
        runs = read_runs(rows, self.outputs if self.cfg.records else None)
        return [replace(run, smoke=False, changes=()) for run in runs if run.smoke] if self.smoke else runs

    def filled(self) -> tuple[Table, Cells]:
        """The table with the runs there are now."""
        runs = self.runs()
        table = with_pretrained(self.plain, runs)
        if self.smoke:
            table = replace(table, title=f"SMOKE TEST, figures mean nothing: {table.title}")
        return table, cells(table, runs, protocol=self.cfg.protocol, experiments=self.experiments)

    def jobs(self) -> list[Job]:
        """The trainings that are missing among those chosen; in a smoke test all of them."""
        table, found = self.filled()
        return missing(
            table,
            {key: replace(cell, runs=()) for key, cell in found.items()} if self.smoke else found,
            models=_several(self.cfg.models),
            tasks=_several(self.cfg.tasks),
            seeds=_several(self.cfg.seeds),
            protocol=self.cfg.protocol,
            further=passed_on(self.cfg.name.overrides),
            budget=OmegaConf.to_container(self.cfg.budget.overrides),
        )

    def train(self, jobs: Sequence[Job], since: float, console: Console) -> list[Attempt]:
        """Train what is missing, through the chosen launcher.

        Args:
            jobs: what to train.
            since: when they were found missing.
            console: where to say how it goes.
        """
        logs = self.outputs / "tables" / self.plain.name / "logs"
        place = Workplace(self.repository / "scripts" / "train.py", self.outputs, logs, self.environment)
        if self.cfg.name.launcher != "local":
            launcher = launching([*self.cfg.name.overrides, *self.cfg.name.launching])
            return together(jobs, place, since, launcher, console)
        return one_by_one(jobs, place, since, console)

    def show(self, console: Console) -> list[Path]:
        """Print the table and write its files."""
        from longrange.results.table_plot import plot_table

        table, found = self.filled()
        shown = layout(table, found)
        print_table(shown, console)
        out = Path(self.cfg.out)
        command = f"python scripts/reproduce.py table={table.name}{' budget=smoke' if self.smoke else ''}"
        files = write_tables(out, table, found, shown, command)
        return [*files, plot_table(out / "table.png", table, found)]

    def command(self, job: Job) -> str:
        """The command line of a training, which goes on where it was interrupted."""
        return shlex.join(["python", "scripts/train.py", *job.overrides, *resume(job, self.outputs)])


def reproduce(cfg: DictConfig, repository: Path, experiments: Collection[str], environment: Mapping[str, str]) -> int:
    """Show a table, and before that train what it lacks where `run=missing`; or print the commands.

    Args:
        cfg: as composed from configs/reproduce.yaml.
        repository: its folder.
        experiments: names of all settings.
        environment: environment variables of the trainings.
    Returns:
        The exit code: 0, 1 where a training failed, 130 after an interrupt.
    """
    console = table_console()
    table, since = Reproduction(cfg, repository, experiments, environment), time()
    jobs, attempts = table.jobs(), []
    if cfg.run == "commands":
        for job in jobs:
            console.out(table.command(job), highlight=False)
        return 0
    if cfg.run == "missing":
        attempts = table.train(jobs, since, console)
    for file in table.show(console):
        console.print(str(file), soft_wrap=True, highlight=False, markup=False)
    if not jobs:
        console.print("nothing is missing", highlight=False)
    elif cfg.run is None:
        console.print(f"{len(jobs)} trainings are missing; run=missing starts them", highlight=False)
    return _conclusion(attempts, console)


def _conclusion(attempts: Sequence[Attempt], console: Console) -> int:
    states = {attempt.state for attempt in attempts}
    if attempts:
        print_attempts(attempts, console)
    if "interrupted" in states:
        console.print("interrupted; the same command goes on", highlight=False)
        return 130
    return 1 if "failed" in states else 0


def _several(chosen) -> list | None:
    """A list of what may be a list or one thing."""
    if chosen is None:
        return None
    return list(chosen) if OmegaConf.is_list(chosen) else [chosen]
