"""Committed results: one CSV row for each run, made from its record and from nothing else."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longrange.csv_files import as_csv, read_csv
from longrange.errors import DataError
from longrange.overrides import without
from longrange.whole_files import write_whole

SMOKE = "+name.budget=smoke"  # the override that marks a run on tiny data, made to see the commands work

_LIMITS = ("limit_train_batches", "limit_val_batches", "limit_test_batches")

COLUMNS = (
    "task",
    "model",
    "experiment",
    "pretrain",
    "metric",
    "test",
    "baseline",
    "minutes",
    "epochs",
    "n_parameters",
    "seed",
    "protocol",
    "gpus",
    "device",
    "commit",
    "finished",
    "command",
)


def row_of(path: Path) -> dict[str, Any]:
    """The row of one run.

    Args:
        path: its `result.json`.
    Raises:
        DataError: the file is missing or no run record, the run's code was not committed, or the run left out data.
    """
    try:
        record = json.loads(path.read_text())
        row = row_of_record(record)
        if record["dirty"] is not False:
            raise DataError(
                f"{path}: the code of this run was not committed, or where it ran nobody could tell; a row needs a "
                "commit that others can read (code without .git is told its own by LONGRANGE_COMMIT)"
            )
        if SMOKE in record["config"]["name"]["overrides"]:
            raise DataError(f"{path}: a smoke run, on tiny data; its figures mean nothing")
        if limits := [key for key in _LIMITS if record["config"]["trainer"].get(key) is not None]:
            raise DataError(f"{path}: trainer.{limits[0]} left out a part of the data; its figures are not the task's")
        return row
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise DataError(f"{path}: not a run record as scripts/train.py writes it ({repr(error)[:200]})") from error


def row_of_record(record: dict[str, Any]) -> dict[str, Any]:
    """The row of a record that is read already, committed code or not.

    Raises:
        KeyError, TypeError, AttributeError: it is no run record.
    """
    metric = record["metric"]
    values = {
        **{key: record[key] for key in ("task", "model", "metric", "epochs", "n_parameters", "seed", "protocol")},
        "experiment": record["experiment"] or "",
        "pretrain": record.get("pretrain") or "",
        "test": round(record["metrics"]["test"][metric], 4),
        "baseline": round(record["baseline"], 4),
        "minutes": round((record["wall_s"] + _seconds_before(record)) / 60, 1),
        "gpus": _gpus(record),
        "device": run_device(record["hardware"], record["config"]["trainer"].get("accelerator")),
        "commit": (record["commit"] or "")[:12],
        "finished": record["finished"][:10],
        "command": shlex.join(["scripts/train.py", *_telling(record)]),
    }
    return {column: values[column] for column in COLUMNS}


def run_device(hardware: Mapping[str, Any], accelerator: str | None) -> str:
    """What computed a run: the GPU, or the processor and how many cores of it.

    Args:
        hardware: of its record.
        accelerator: of the trainer; "cpu" leaves a GPU alone.
    """
    if hardware.get("gpu") and accelerator != "cpu":
        return str(hardware["gpu"])
    cores = f", {hardware['cores']} cores" if hardware.get("cores") else ""
    return f"{hardware.get('cpu') or 'CPU'}{cores}"


def _gpus(record: dict[str, Any]) -> int:
    """How many GPUs computed the run; those of a machine are no part of a run on its CPU."""
    if record["hardware"]["gpu"] is None or record["config"]["trainer"]["accelerator"] == "cpu":
        return 0
    return record.get("processes", 1)


def _seconds_before(record: dict[str, Any]) -> float:
    """Of the pretraining."""
    stage = record.get("pretraining")
    return stage["wall_s"] if stage else 0.0


def _telling(record: dict[str, Any]) -> list[str]:
    """The overrides without what says where one machine keeps its files, or to go on where there was nothing before."""
    resumed = record.get("resumed_from") or (record.get("pretraining") or {}).get("resumed")
    return without(record["config"]["name"]["overrides"], {"paths"} if resumed else {"paths", "resume"})


def add_row(record: Path, table: Path) -> dict[str, Any]:
    """Add a run's row to a table, which is made if it is not there.

    Args:
        record: the run's `result.json`.
        table: the CSV file.
    Returns:
        The row.
    Raises:
        DataError: as `row_of`; or the table is none, has other columns, has this row already, or cannot be written.
    """
    row = row_of(record)
    known = read_csv(table, COLUMNS) if table.exists() and table.stat().st_size else []
    if {column: str(value) for column, value in row.items()} in known:
        raise DataError(f"{table}: has the row of {record} already")
    try:
        write_whole(table, as_csv([*known, row]))
    except OSError as problem:
        raise DataError(f"{table}: cannot be written ({problem.strerror or problem})") from problem
    return row
