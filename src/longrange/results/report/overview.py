"""What the page says of many runs at once: the list of all, curves and hyperparameters by task, means over seeds."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import mean, stdev
from urllib.parse import quote

from longrange.overrides import BOOKKEEPING, without
from longrange.results.report import words
from longrange.results.report.charts import Chart, Line, Points, chart, sparkline
from longrange.results.report.entries import Entry, Rows
from longrange.results.report.grid import Cell, Column, Grid, Row
from longrange.results.report.settings import differences

COLOURS = 8  # of the style sheet: c0 to c7
_LONG = 20  # letters: a longer hyperparameter may be cut, and is shown whole where the pointer rests
_SEED = re.compile(r"-s\d+(\.\d+)?$")  # of a folder's name


@dataclass(frozen=True)
class Task:
    """A task's runs beside each other.

    Attributes:
        name: of the task.
        charts: one line a run.
        grid: the hyperparameters that differ, one row a run.
    """

    name: str
    charts: Sequence[Chart]
    grid: Grid


def anchor(entry: Entry) -> str:
    """A run's place in the page."""
    return quote(entry.name, errors="surrogateescape")


def points(rows: Rows, name: str) -> Points:
    """A metric over the epochs, counted from 1."""
    return [(row["epoch"] + 1, row[name]) for row in rows if name in row]


def all_runs(entries: Iterable[Entry]) -> Grid:
    """One row a run: what it is, what came out, what it cost."""
    columns = (
        Column("task"),
        Column("model"),
        Column("experiment"),
        Column("pretraining"),
        Column("seed", numeric=True),
        Column("accuracy", numeric=True, first="descending", note="on the test split, at the selected epoch"),
        Column("RMSE", numeric=True, note="on the test split, at the selected epoch, in the task's unit"),
        Column("validation", numeric=True, first="descending", note="the same metric on the validation split"),
        Column("baseline", numeric=True, note="of an answer that ignores the input: the majority class, the mean"),
        Column("curve", note="validation metric over the epochs"),
        Column("epoch", numeric=True, note="the selected one of how many; of an unfinished run, the last"),
        Column("parameters", numeric=True),
        Column("time", numeric=True, note="in training, on the clock"),
        Column("protocol", note="heldout: selected on validation data; paper: on the test set, as published"),
        Column("device"),
        Column("commit"),
        Column("finished", first="descending"),
        Column("folder"),
    )
    return Grid(columns, [_run(entry) for entry in entries]).without_empty_columns()


def _run(entry: Entry) -> Row:
    metric, test, best = entry["metric"], entry.score("test"), entry["best_epoch"]
    shown = Cell(words.score(test, metric), test)
    validated = [value for _, value in points(entry.history, f"val/{metric}")]
    selected = "" if best is None else f"{best + 1} of {entry['epochs'] or '?'}"
    done = selected if entry.finished else f"{len(entry.history)}, unfinished"
    cells = (
        Cell(entry["task"]),
        Cell(entry["model"], href=f"#{anchor(entry)}"),
        Cell(entry["experiment"] or ""),
        Cell(entry["pretrain"] or ""),
        Cell("" if entry["seed"] is None else str(entry["seed"]), entry["seed"]),
        Cell() if entry.lower_is_better else shown,
        shown if entry.lower_is_better else Cell(),
        Cell(words.score(entry.score("val"), metric), entry.score("val")),
        Cell(words.score(entry["baseline"], metric), entry["baseline"]),
        Cell(path=sparkline(validated), key=validated[-1] if validated else None),
        Cell(done, best),
        Cell(words.count(entry["n_parameters"]), entry["n_parameters"]),
        Cell(words.duration(entry["wall_s"]), entry["wall_s"]),
        Cell(entry["protocol"] or ""),
        Cell(words.device(entry["hardware"], entry["config"])),
        Cell(words.commit(entry["commit"], entry["dirty"]), title=entry["commit"]),
        Cell(words.moment(entry["finished"]), entry["finished"]),
        Cell(entry.folder.name, title=entry.name),
    )
    return Row(cells, anchor(entry), "" if entry.finished else "unfinished")


def by_task(entries: Iterable[Entry]) -> list[Task]:
    """Each task's curves and differing hyperparameters.

    Args:
        entries: sorted by task.
    """
    return [_task(name, list(runs)) for name, runs in groupby(entries, key=lambda entry: entry["task"])]


def _task(name: str, runs: Sequence[Entry]) -> Task:
    metrics = dict.fromkeys(run["metric"] for run in runs if points(run.history, f"val/{run['metric']}"))
    charts = [_compared(runs, f"val/{metric}", metric) for metric in metrics]
    charts += [_compared(runs, name, None) for name in ("val/loss", "train/loss")]
    return Task(name, [each for each in charts if each], _differing(runs))


def _compared(runs: Sequence[Entry], name: str, metric: str | None) -> Chart | None:
    lines = [
        Line(_label(run), f"c{place % COLOURS}", points(run.history, name), anchor(run))
        for place, run in enumerate(runs)
    ]
    levels = (run["baseline"] for run in runs if metric is not None and run["metric"] == metric)
    level = next((value for value in levels if value is not None), None)
    return chart(name, lines, percent=metric == "accuracy", level=level)


def _label(run: Entry) -> str:
    score = words.score(run.score("test"), run["metric"])
    return f"{run['model']}, {run.folder.name}{f', test {score}' if score else ''}"


def _differing(runs: Sequence[Entry]) -> Grid:
    differing = [names for names in differences([run.settings for run in runs]) if names[0] != "seed"]
    columns = [
        Column("model"),
        Column("seed", numeric=True),
        Column("test", numeric=True, first="ascending" if runs[0].lower_is_better else "descending"),
        *(Column(names[0], note=", ".join(names)) for names in differing),
    ]
    names = [names[0] for names in differing]
    return Grid(columns, [_compared_row(run, names, f"c{place % COLOURS}") for place, run in enumerate(runs)])


def _compared_row(run: Entry, names: Sequence[str], style: str) -> Row:
    score = run.score("test")
    cells = [
        Cell(run["model"], href=f"#{anchor(run)}", parts=[("quiet", run.folder.name)]),
        Cell("" if run["seed"] is None else str(run["seed"]), run["seed"]),
        Cell(words.score(score, run["metric"]), score),
    ]
    values = (run.settings.get(name, "") for name in names)
    cells += [Cell(value, title=value if len(value) > _LONG else None) for value in values]
    return Row(cells, anchor(run), style)


def over_seeds(entries: Iterable[Entry]) -> Grid:
    """One row for each command that ran with more than one seed, the newest run of each seed counted."""
    groups: dict[tuple, dict[int, Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry["finished"] or ""):
        if entry.finished and entry.score("test") is not None:
            command = (entry["task"], entry["model"], entry["metric"], _SEED.sub("", entry.name))
            groups.setdefault(command, {})[entry["seed"]] = entry
    columns = (
        Column("task"),
        Column("model"),
        Column("metric"),
        Column("mean", numeric=True, first="descending", note="on the test split, over the seeds"),
        Column("std", numeric=True, note="with n - 1"),
        Column("worst", numeric=True, first="descending"),
        Column("best", numeric=True, first="descending"),
        Column("n", numeric=True, first="descending", note="how many seeds"),
        Column("command"),
    )
    return Grid(columns, [_seeds(runs) for _, runs in sorted(groups.items()) if len(runs) > 1])


def _seeds(runs: dict[int, Entry]) -> Row:
    first, values = next(iter(runs.values())), [run.score("test") for run in runs.values()]
    metric = first["metric"]
    numbers = (mean(values), stdev(values), *sorted((min(values), max(values)), reverse=first.lower_is_better))
    command = " ".join(without(first.overrides, BOOKKEEPING | {"seed"}))
    return Row(
        [
            Cell(first["task"]),
            Cell(first["model"]),
            Cell(metric),
            *(Cell(words.score(value, metric), value) for value in numbers),
            Cell(str(len(values)), len(values)),
            Cell(command),
        ]
    )
