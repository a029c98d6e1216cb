"""The tables that end a command: what a training reached and cost, what an evaluation found."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from longrange.training.outcome import BASELINES, Outcome


def print_summary(outcome: Outcome, files: Sequence[Path], console: Console | None = None) -> None:
    """Print the scores, the cost and the files of a finished training.

    Args:
        outcome: the measured facts of the training.
        files: what to point the reader to, by path.
        console: where to print; the terminal where None.
    """
    console = console or Console()
    table = Table(show_header=False, title="Finished", title_justify="left", title_style="bold")
    for split in ("test", "val", "train"):
        if split in outcome.metrics:
            table.add_row(f"{split} {outcome.metric}", _number(outcome.metric, outcome.metrics[split][outcome.metric]))
    table.add_row(BASELINES[outcome.metric], _number(outcome.metric, outcome.baseline))
    for row in _cost(outcome):
        table.add_row(*map(Text, row))
    console.print(table)
    for path in files:
        console.print(str(path), soft_wrap=True, highlight=False, markup=False)


def print_metrics(metrics: Mapping[str, Mapping[str, float]], title: str, console: Console | None = None) -> None:
    """Print one row a split, one column a metric.

    Args:
        metrics: per split, e.g. {"test": {"accuracy": 0.47, "loss": 1.4}}.
        title: what was evaluated.
        console: where to print; the terminal where None.
    """
    names = list(dict.fromkeys(name for scores in metrics.values() for name in scores))
    table = Table("split", *names)
    for split, scores in metrics.items():
        table.add_row(split, *[_number(name, scores[name]) if name in scores else "" for name in names])
    console = console or Console()
    console.print(title, soft_wrap=True, highlight=False, markup=False)
    console.print(table)


def _cost(outcome: Outcome) -> list[tuple[str, str]]:
    minutes, seconds = divmod(round(outcome.wall_s), 60)
    selection = "on the test set as published" if outcome.protocol == "paper" else "by validation"
    rows = [
        ("selected epoch", f"{outcome.best_epoch + 1} of {len(outcome.history)}, {selection}"),
        ("time in training", f"{minutes} min {seconds:02d} s"),
        ("samples/s", f"{outcome.samples_per_s:,.0f}"),
        ("peak memory", f"{outcome.peak_memory_bytes / 2**20:,.0f} MiB"),
        ("parameters", f"{outcome.n_parameters:,}"),
        ("kernel, precision", f"{outcome.backend}, {outcome.precision}"),
    ]
    if outcome.processes > 1:
        rows.append(("processes", str(outcome.processes)))
    if outcome.pretraining is not None:
        stage = outcome.pretraining
        epoch = f"epoch {stage.best_epoch + 1} of {stage.epochs}"
        rows.append(("pretraining", f"{stage.objective}, {epoch}, val loss {stage.loss['val']:.4f}"))
    if outcome.resumed_from is not None:
        rows.append(("resumed from", os.path.relpath(outcome.resumed_from, outcome.run_dir)))
    return rows


def _number(name: str, value: float) -> str:
    return f"{value:.2%}" if name == "accuracy" else f"{value:.4f}"
