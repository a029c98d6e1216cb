"""Our runs in the cells of a published table: which of them count, their mean, and averages as the papers take them."""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from statistics import mean, stdev

from longrange.results.runs import Run
from longrange.results.table import Column, Figure, Row, Table

SCALE = {"accuracy": 100.0, "rmse": 1.0}  # from a run's metric to the unit of a table


@dataclass(frozen=True)
class Cell:
    """One row and column: what is printed, and our runs, in the table's unit.

    Attributes:
        row: its row.
        column: its column.
        published: None where nothing is printed.
        experiment: its setting, e.g. "listops/s5"; None for a peer's cell, or where there is no such setting.
        runs: those that count: of the published setting and the protocol asked for, the newest of each seed.
        apart: further finished runs of this experiment, which never enter the mean.
        notes: what a reader must know about our side of the cell, one sentence each; `published` has its own.
        metric: of the table.
    """

    row: Row
    column: Column
    published: Figure | None
    experiment: str | None
    runs: tuple[Run, ...]
    apart: tuple[Run, ...]
    notes: tuple[str, ...]
    metric: str

    @property
    def n(self) -> int:
        """How many seeds count."""
        return len(self.runs)

    @property
    def values(self) -> list[float]:
        """Test metric of each run that counts."""
        return [run.test * SCALE[self.metric] for run in self.runs]

    @property
    def mean(self) -> float | None:
        """Over the seeds; None without a run."""
        return mean(self.values) if self.runs else None

    @property
    def std(self) -> float | None:
        """Over the seeds, with n - 1; None below two."""
        return stdev(self.values) if self.n > 1 else None

    @property
    def difference(self) -> float | None:
        """Ours minus published; None where one of them is missing."""
        if self.mean is None or self.published is None or self.published.mean is None:
            return None
        return self.mean - self.published.mean

    @property
    def protocol(self) -> str | None:
        """Of the runs that count."""
        return self.runs[0].protocol if self.runs else None

    @property
    def gpu_hours(self) -> float:
        """GPUs times hours, of all runs that count."""
        return math.fsum(run.hours * run.gpus for run in self.runs)

    @property
    def cpu_hours(self) -> float:
        """Hours of all runs that count and used no GPU."""
        return math.fsum(run.hours for run in self.runs if not run.gpus)


Cells = dict[tuple[str, str], Cell]  # by row's and column's key


def cells(
    table: Table, runs: Iterable[Run], *, protocol: str = "heldout", experiments: Collection[str] | None = None
) -> Cells:
    """Every cell of a table.

    Args:
        table: see `with_pretrained` for rows of pretrained runs that the table does not name.
        runs: all there are; smoke runs and other experiments' are ignored.
        protocol: "heldout"; or "paper": where published figures were selected on the test set, runs that did the same.
        experiments: names of all settings, see `Cell.experiment`; None takes every cell to have one.
    """
    by_cell: dict[tuple, list[Run]] = {}
    for run in runs:
        if not run.smoke:
            by_cell.setdefault((run.experiment, run.pretrain), []).append(run)
    found = {}
    for row in table.rows.values():
        for column in table.columns.values():
            name = f"{column.task}/{row.model}" if row.model and column.task else None
            if experiments is not None and name not in experiments:
                name = None
            of_cell = by_cell.get((name, row.pretrain), []) if name else []
            wanted = column.protocol if protocol == "paper" else "heldout"
            found[row.key, column.key] = _cell(table, row, column, name, of_cell, wanted)
    return found


def with_pretrained(table: Table, runs: Iterable[Run]) -> Table:
    """The table with a row more for each model and way of pretraining that has runs but no row."""
    tasks = {column.task for column in table.columns.values()}
    have = {(row.model, row.pretrain) for row in table.rows.values()}
    ran = {
        (run.experiment.partition("/")[2], run.pretrain)
        for run in runs
        if run.experiment and run.pretrain and not run.smoke and run.experiment.partition("/")[0] in tasks
    }
    rows = {}
    for key, row in table.rows.items():
        rows[key] = row
        if row.model and row.pretrain is None:
            for _, how in sorted(pair for pair in ran - have if pair[0] == row.model):
                title = f"{row.title} + {how} pretraining"
                rows[f"{key}_{how}"] = Row(f"{key}_{how}", title, row.model, how, None, {})
    return replace(table, rows=rows)


def averages(table: Table, found: Cells) -> dict[str, tuple[float | None, float | None]]:
    """By row: mean over the columns of what is printed, a failure counted as the table says, and of our cells.

    None where a cell is missing: an average over fewer tasks is another quantity. Empty for a table without averages.
    """
    if table.failure is None:
        return {}
    pairs = {}
    for key in table.rows:
        of_row = [found[key, column] for column in table.columns]
        printed = [table.failure if f and f.mean is None else f and f.mean for f in (c.published for c in of_row)]
        pairs[key] = _mean_of_all(printed), _mean_of_all([cell.mean for cell in of_row])
    return pairs


def _mean_of_all(values: list[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return mean(there) if len(there) == len(values) else None


def _cell(table: Table, row: Row, column: Column, experiment: str | None, runs: list[Run], protocol: str) -> Cell:
    counted = _newest_of_each_seed([run for run in runs if run.protocol == protocol and not run.changes])
    apart = [run for run in runs if run not in counted]
    notes = ["our settings, none are published"] if experiment and column.key in row.ours else []
    notes += _notes(counted, apart, table.metric, protocol)
    published = row.published.get(column.key)
    return Cell(row, column, published, experiment, tuple(counted), tuple(apart), tuple(notes), table.metric)


def _newest_of_each_seed(runs: list[Run]) -> list[Run]:
    newest = {run.seed: run for run in sorted(runs, key=lambda run: run.finished)}
    return [newest[seed] for seed in sorted(newest)]


def _notes(counted: list[Run], apart: list[Run], metric: str, protocol: str) -> list[str]:
    notes = []
    if stuck := sum(run.at_chance for run in counted):
        notes.append(f"{stuck} of {len(counted)} seeds stayed at chance")
    if dirty := sum(run.dirty for run in counted):
        notes.append(f"{_runs(dirty)} of code that was not committed")
    if any(run.resumed for run in counted):
        notes.append("hours before an interruption are not counted")
    others = [run for run in apart if run.protocol != protocol and not run.changes]
    if older := sum(run.protocol == protocol and not run.changes for run in apart):
        notes.append(f"not counted: {_runs(older)} older than another of the same seed")
    if others:
        notes.append(f"not counted, protocol {others[0].protocol}: {_listed(others, metric)}")
    if changed := [run for run in apart if run.changes]:
        notes.append(f"not counted, other settings: {_listed(changed, metric)}")
    return notes


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _listed(runs: list[Run], metric: str, most: int = 3) -> str:
    """Each run's score and what was other about it, the last few of many."""
    shown = sorted(runs, key=lambda run: run.finished)[-most:]
    texts = [f"{run.test * SCALE[metric]:.2f}{_how(run)}" for run in shown]
    return ", ".join(texts) + (f", and {len(runs) - most} more" if len(runs) > most else "")


def _how(run: Run) -> str:
    return f" ({' '.join(run.changes)})" if run.changes else f" (seed {run.seed})"
