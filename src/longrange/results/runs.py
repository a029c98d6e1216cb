"""Runs as tables see them: from the committed rows and from the records under the outputs folder."""

import json
import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longrange.csv_files import read_csv
from longrange.errors import DataError
from longrange.overrides import setting_changes
from longrange.results.rows import COLUMNS, SMOKE, row_of_record
from longrange.training.expectation import CHANCE

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A finished training, as far as a table needs it.

    Attributes:
        experiment: its cell's setting, e.g. "listops/s5"; None for a run of no published setting.
        pretrain: None for a run from random weights, else how it was pretrained ("masked", "causal").
        seed: the run's seed.
        protocol: "heldout" or "paper".
        metric: "accuracy" or "rmse".
        test: the metric on the test split; accuracy as a fraction.
        baseline: the same of the largest class, or of the mean; None where not known.
        hours: in training, on the clock, of the last process of the run.
        gpus: how many computed it; 0 on a CPU.
        device: their name.
        commit: of the code; None where not known.
        dirty: whether files differed from that commit.
        finished: date, of a record with the time, as text.
        changes: overrides that make it another setting than its experiment.
        resumed: went on with an interrupted run, whose hours are not counted.
        smoke: tiny data and models, to see the commands work; no figure.
        origin: the file it was read from.
    """

    experiment: str | None
    pretrain: str | None
    seed: int
    protocol: str
    metric: str
    test: float
    baseline: float | None
    hours: float
    gpus: int
    device: str
    commit: str | None
    dirty: bool
    finished: str
    changes: tuple[str, ...]
    resumed: bool
    smoke: bool
    origin: Path

    @property
    def at_chance(self) -> bool:
        """Whether an accuracy is hardly above that of the largest class: this seed's training did not take off."""
        return self.metric == "accuracy" and self.baseline is not None and self.test < CHANCE * self.baseline

    @property
    def code(self) -> str:
        """The commit, for people."""
        if self.commit is None:
            return "unknown"
        return f"{self.commit}, changed" if self.dirty else self.commit


def read_runs(tables: Sequence[Path], outputs: Path | None = None) -> list[Run]:
    """All runs there are; one that is both in a table and under the outputs is listed once.

    Args:
        tables: CSV files of committed rows; one that does not exist has none.
        outputs: folder below which every `result.json` is read; None for the tables alone.
    Raises:
        DataError: a table is damaged or has other columns. A damaged record is left out with a warning.
    """
    committed = [run for table in tables if table.exists() for run in _read_table(table)]
    known = {_identity(run) for run in committed}
    local = _read_records(sorted(outputs.rglob("result.json"))) if outputs is not None else []
    return committed + [run for run in local if _identity(run) not in known]


def _identity(run: Run) -> tuple:
    """What a committed row and its record have in common."""
    return (run.experiment, run.pretrain, run.seed, run.protocol, run.commit, run.finished[:10], run.test)


def _read_table(path: Path) -> list[Run]:
    runs = []
    for number, row in enumerate(read_csv(path, COLUMNS), start=1):
        try:
            runs.append(_run(row, path, dirty=False))
        except ValueError as error:
            raise DataError(f"{path}, row {number}: cannot be read ({error})") from error
    return runs


def _read_records(paths: Sequence[Path]) -> list[Run]:
    runs, damaged = [], []
    for path in paths:
        try:
            record = json.loads(path.read_text())
            row = row_of_record(record) | {"finished": record["finished"]}
            runs.append(_run(row, path, dirty=record["dirty"] is not False))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            damaged.append(f"{path} ({error!r})")
    if damaged:
        log.warning(f"left out, {len(damaged)} of {len(paths)} files are no run records of this version: {damaged[0]}")
    return runs


def _run(row: Mapping[str, Any], path: Path, *, dirty: bool) -> Run:
    _, *overrides = shlex.split(row["command"])
    return Run(
        experiment=row["experiment"] or None,
        pretrain=row["pretrain"] or None,
        seed=int(row["seed"]),
        protocol=row["protocol"],
        metric=row["metric"],
        test=float(row["test"]),
        baseline=float(row["baseline"]) if row["baseline"] != "" else None,
        hours=float(row["minutes"]) / 60,
        gpus=int(row["gpus"]),
        device=row["device"],
        commit=row["commit"] or None,
        dirty=dirty,
        finished=row["finished"],
        changes=tuple(setting_changes(overrides)),
        resumed=any(override.startswith("resume=") for override in overrides),
        smoke=SMOKE in overrides,
        origin=path,
    )
