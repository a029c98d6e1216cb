"""What is missing in a table, as trainings to start: their command lines, and what there is of them on disk."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from longrange.errors import ConfigError, nearest
from longrange.overrides import is_within, key_of, setting_changes, without
from longrange.results.cells import Cell, Cells
from longrange.results.run_folder import RECORD, newest, overrides_hash
from longrange.results.table import Column, Table

# Keys of configs/reproduce.yaml itself; the other overrides of its command line belong to the trainings.
_OWN = {"table", "budget", "run", "models", "tasks", "seeds", "protocol", "records", "out", "launcher"}
_CHOSEN_BY_THE_CELL = {
    "experiment": "models=[...] tasks=[...]",
    "seed": "seeds=[...]",
    "pretrain": "models=[...]",
    "data.protocol": "protocol=paper",
}


@dataclass(frozen=True)
class Job:
    """A training to start.

    Attributes:
        experiment: of its cell.
        pretrain: None, or how it is pretrained.
        seed: its seed.
        further: overrides beside experiment and seed.
    """

    experiment: str
    pretrain: str | None
    seed: int
    further: tuple[str, ...] = field(default=())

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.experiment}{f' + {self.pretrain} pretraining' if self.pretrain else ''}, seed {self.seed}"

    @property
    def file(self) -> str:
        """For the names of files."""
        parts = [self.experiment.replace("/", "-"), self.pretrain, f"s{self.seed}"]
        return "-".join(part for part in parts if part)

    @property
    def overrides(self) -> list[str]:
        """Its command line, without what resumes it."""
        return [f"experiment={self.experiment}", *self.further, f"seed={self.seed}"]

    def folder(self, outputs: Path) -> Path | None:
        """The folder of this command line that `newest` chooses; None where it has never run."""
        first = f"{overrides_hash(self.overrides)}-s{self.seed}"
        name = re.compile(rf"{first}(\.\d+)?")  # others are of files, and of folders that are being unpacked
        folders = [folder for folder in outputs.glob(f"*/*/{first}*") if name.fullmatch(folder.name)]
        return newest(sorted(folders, key=lambda folder: int(folder.suffix[1:] or 1))) if folders else None

    def resumes(self, outputs: Path) -> bool:
        """Whether it has begun and not finished."""
        folder = self.folder(outputs)
        return folder is not None and not (folder / RECORD).exists()


def launching(overrides: Sequence[str]) -> list[str]:
    """The overrides that choose a launcher and tell it what to do.

    Args:
        overrides: of scripts/reproduce.py, those of Hydra's own configuration among them.
    """
    return [override for override in overrides if is_within(key_of(override), {"launcher", "hydra.launcher"})]


def passed_on(overrides: Sequence[str]) -> list[str]:
    """The overrides of a command line that go to each training.

    Args:
        overrides: of scripts/reproduce.py.
    Raises:
        ConfigError: one of them decides what a cell decides, or would make it another setting.
    """
    others = without(overrides, _OWN)
    for override in others:
        if (key := key_of(override)) in _CHOSEN_BY_THE_CELL:
            raise ConfigError(f"{override}: each cell has its own; choose with {_CHOSEN_BY_THE_CELL[key]}")
        if key == "resume":
            raise ConfigError(f"{override}: interrupted runs are resumed without it")
    if changes := setting_changes(others):
        raise ConfigError(
            f"{changes[0]}: changes the published setting, and its runs would fill no cell; train with it "
            "by scripts/train.py"
        )
    return others


def missing(
    table: Table,
    found: Cells,
    *,
    models: Collection[str] | None,
    tasks: Collection[str] | None,
    seeds: Sequence[int],
    protocol: str,
    further: Sequence[str],
    budget: Mapping[str, Any],
) -> list[Job]:
    """The trainings that a table lacks, all cells of the first seed before those of the next.

    Args:
        table: the table.
        found: its cells; runs that count are not missing.
        models: keys of rows; None for all.
        tasks: keys of columns, or the tasks in them; None for all.
        seeds: of each cell.
        protocol: see `cells`.
        further: overrides of every training.
        budget: `overrides` of a config in configs/budget.
    Raises:
        ConfigError: a row or a column that the table does not have.
    """
    _check("models", models, {key for key, row in table.rows.items() if row.model}, table.name)
    _check(
        "tasks",
        tasks,
        {name for column in table.columns.values() if column.task for name in _names(column)},
        table.name,
    )
    if bad := [seed for seed in seeds if not isinstance(seed, int) or seed < 0]:
        raise ConfigError(f"seeds=[{bad[0]}]: must be whole numbers, not negative")
    cells = [
        cell
        for (row, _), cell in found.items()
        if cell.experiment
        and (models is None or row in models)
        and (tasks is None or not _names(cell.column).isdisjoint(tasks))
    ]
    return [
        Job(cell.experiment, cell.row.pretrain, seed, tuple(_further(cell, protocol, further, budget)))
        for seed in seeds
        for cell in cells
        if seed not in {run.seed for run in cell.runs}
    ]


def _further(cell: Cell, protocol: str, further: Sequence[str], budget: Mapping[str, Any]) -> list[str]:
    overrides = list(further)
    if cell.row.pretrain:
        overrides += [f"pretrain={cell.row.pretrain}", *budget["pretrain"]]
    if protocol == "paper" and cell.column.protocol == "paper":
        overrides.append("data.protocol=paper")
    return [*overrides, *within(budget, cell.column.task, cell.row.model)]


def within(budget: Mapping[str, Any], task: str, model: str) -> list[str]:
    """The overrides by which a budget makes a training small.

    Args:
        budget: `overrides` of a config in configs/budget.
        task: of the training.
        model: of the training.
    """
    return [*budget["all"], *budget["tasks"].get(task, []), *budget["models"].get(model, [])]


def _names(column: Column) -> set[str | None]:
    """What a column may be called: its key in the table, or its task."""
    return {column.key, column.task}


def _check(key: str, chosen: Collection[str] | None, known: Collection[str], table: str) -> None:
    for name in chosen or ():
        if name not in known:
            raise ConfigError(f"{key}=[{name}]: not in table={table}; nearest: {', '.join(nearest(name, known))}")
