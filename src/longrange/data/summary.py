"""What a prepared task holds, as a table for people."""

import numpy as np
from rich.markup import escape
from rich.table import Table
from torch.utils.data import Dataset

from longrange.data.module import SequenceDataModule
from longrange.models.spec import TaskSpec
from longrange.terminal import table_console

SPLITS = ("train", "val", "test")


def print_splits(data: SequenceDataModule, seconds: float) -> None:
    """Print size, lengths and targets of every split, and where they are.

    Args:
        data: a prepared task. Its splits have `targets`, `path` and, where the lengths vary, `lengths`.
        seconds: what the preparation took.
    """
    table = Table(title=escape(f"{data.spec.name}, prepared in {seconds:.1f} s"), title_justify="left")
    table.add_column("split")
    for heading in ("examples", "mean steps", "longest"):
        table.add_column(heading, justify="right")
    classes = data.spec.loss == "cross_entropy"
    table.add_column(f"share of labels 0 to {data.spec.output_size - 1}, %" if classes else "mean of targets ± std")
    splits = {name: data.split(name) for name in SPLITS}
    for name, split in splits.items():
        table.add_row(name, *_facts(split, data.spec))
    console = table_console()
    console.print(table)
    if path := getattr(splits["train"], "path", None):
        console.print(f"encoded in {path.parent}", soft_wrap=True, markup=False)


def _facts(split: Dataset, spec: TaskSpec) -> list[str]:
    lengths = np.asarray(split.lengths if spec.variable_length else [spec.max_length])
    targets = _shares(split, spec.output_size) if spec.loss == "cross_entropy" else _spread(split)
    return [f"{len(split):,}", f"{lengths.mean():.1f}", str(lengths.max()), targets]


def _shares(split: Dataset, classes: int) -> str:
    return " ".join(f"{100 * count / len(split):.1f}" for count in np.bincount(split.targets, minlength=classes))


def _spread(split: Dataset) -> str:
    values = np.asarray(split.targets, np.float64).reshape(len(split), -1)
    return ", ".join(f"{mean:.2f} ± {std:.2f}" for mean, std in zip(values.mean(0), values.std(0), strict=True))
