"""Committed results: one CSV row for each run, made from its record and from nothing else."""

import csv
import json
from pathlib import Path
from typing import Any

from longrange.errors import DataError

COLUMNS = (
    "task",
    "model",
    "metric",
    "test",
    "baseline",
    "minutes",
    "epochs",
    "n_parameters",
    "seed",
    "protocol",
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
        DataError: the file is missing or no run record, or the run's code was not committed.
    """
    try:
        record = json.loads(path.read_text())
        if record["dirty"] is not False:
            raise DataError(
                f"{path}: the code of this run was not committed; a row needs a commit that others can read"
            )
        return _row(record)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not a run record as scripts/train.py writes it ({error!r})") from error


def _row(record: dict[str, Any]) -> dict[str, Any]:
    metric, hardware = record["metric"], record["hardware"]
    values = {
        **{key: record[key] for key in ("task", "model", "metric", "epochs", "n_parameters", "seed", "protocol")},
        "test": round(record["metrics"]["test"][metric], 4),
        "baseline": round(record["baseline"], 4),
        "minutes": round(record["wall_s"] / 60, 1),
        "device": hardware["gpu"] or f"{hardware['cpu']}, {hardware['cores']} cores",
        "commit": record["commit"][:12],
        "finished": record["finished"][:10],
        "command": " ".join(["scripts/train.py", *_without_paths(record["config"]["name"]["overrides"])]),
    }
    return {column: values[column] for column in COLUMNS}


def _without_paths(overrides: list[str]) -> list[str]:
    """Without what says where one machine keeps its files."""
    return [override for override in overrides if not override.lstrip("+~").startswith("paths")]


def add_row(record: Path, table: Path) -> dict[str, Any]:
    """Append a run's row to a table, which is made if it is not there.

    Args:
        record: the run's `result.json`.
        table: the CSV file.
    Returns:
        The row.
    Raises:
        DataError: as `row_of`; or the table has other columns, or this row already.
    """
    row = row_of(record)
    known = list(csv.reader(table.open(newline=""))) if table.exists() else []
    if known and tuple(known[0]) != COLUMNS:
        raise DataError(f"{table}: has other columns than {', '.join(COLUMNS)}")
    if [str(value) for value in row.values()] in known[1:]:
        raise DataError(f"{table}: has the row of {record} already")
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not known:
            writer.writeheader()
        writer.writerow(row)
    return row
