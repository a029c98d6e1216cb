"""Published tables as data: rows, columns and printed figures of configs/table; `longrange.results.cells` adds runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from longrange.errors import ConfigError


@dataclass(frozen=True)
class Figure:
    """A printed result, in the table's unit.

    Attributes:
        mean: None where the paper prints a failure, such as chance level on Path-X.
        std: over seeds; None where not printed.
        n: number of seeds; None where not said.
        source: where it is printed.
        notes: what a reader must know, e.g. that it is validation accuracy.
    """

    mean: float | None
    std: float | None
    n: int | None
    source: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """A task as a table's column.

    Attributes:
        key: its name in the table's config.
        title: its heading.
        task: of its experiments, as in configs/experiment; None where training runs do not measure it.
        protocol: under which published figures were selected, "paper" where that is not "heldout".
        note: below the table.
    """

    key: str
    title: str
    task: str | None
    protocol: str
    note: str | None


@dataclass(frozen=True)
class Row:
    """A model as a table's row.

    Attributes:
        key: its name in the table's config.
        title: its heading.
        model: of its experiments, as in configs/experiment; None for a peer, which has printed figures only.
        pretrain: how its runs were pretrained; None for runs from random weights.
        source: where its figures are printed; None where it has none.
        published: by column.
        ours: columns whose settings are this project's own, because none are published.
    """

    key: str
    title: str
    model: str | None
    pretrain: str | None
    source: str | None
    published: Mapping[str, Figure]
    ours: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A published table.

    Attributes:
        name: its file in configs/table.
        title: its heading.
        metric: "accuracy" (in percent) or "rmse" (in the task's unit).
        failure: what a printed failure counts in an average; None for a table without averages.
        columns: by key, from left to right.
        rows: by key, from top to bottom.
    """

    name: str
    title: str
    metric: str
    failure: float | None
    columns: Mapping[str, Column]
    rows: Mapping[str, Row]

    @classmethod
    def from_config(cls, name: str, cfg: Mapping[str, Any]) -> "Table":
        """The table of a file in configs/table.

        Args:
            name: of the file.
            cfg: its content, in plain dictionaries.
        Raises:
            ConfigError: a figure of an unknown column.
        """
        columns = {
            key: Column(key, c["title"], c.get("task"), c.get("protocol", "heldout"), c.get("note"))
            for key, c in cfg["columns"].items()
        }
        rows = {key: _row(key, row, columns, f"configs/table/{name}.yaml") for key, row in cfg["rows"].items()}
        return cls(name, cfg["title"], cfg["metric"], cfg.get("failure"), columns, rows)

    @property
    def unit(self) -> str:
        """Of its figures."""
        return "%" if self.metric == "accuracy" else "RMSE"

    @property
    def lower_is_better(self) -> bool:
        """Whether a smaller figure is a better one."""
        return self.metric == "rmse"


def _row(key: str, cfg: Mapping[str, Any], columns: Mapping[str, Column], where: str) -> Row:
    printed, ours = cfg.get("published", {}), tuple(cfg.get("ours", ()))
    for column in (*printed, *ours):
        if column not in columns:
            raise ConfigError(f"{where}: rows.{key}: no column {column}; there are {', '.join(columns)}")
    published = {column: _figure(value, cfg) for column, value in printed.items()}
    return Row(key, cfg["title"], cfg.get("model"), cfg.get("pretrain"), cfg.get("source"), published, ours)


def _figure(value: Any, row: Mapping[str, Any]) -> Figure:
    """From 62.15, [62.15, 0.23], "failed", or a mapping of these with fields of its own in place of the row's."""
    own = value if isinstance(value, Mapping) else {"value": value}
    printed = own["value"]
    center, std = printed if isinstance(printed, list) else (printed, None)
    notes = [note for note in (row.get("note"), own.get("note")) if note]
    return Figure(
        mean=None if center == "failed" else float(center),
        std=std,
        n=own.get("n", row.get("n")),
        source=own.get("source", row["source"]),
        notes=tuple(notes),
    )
