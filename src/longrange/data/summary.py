"""What a prepared task holds, as a table for people."""

import numpy as np
from rich.console import Console
from rich.table import Table

from longrange.data.cache import SequenceDataset
from longrange.data.module import SequenceDataModule

SPLITS = ("train", "val", "test")


def print_splits(data: SequenceDataModule, seconds: float) -> None:
    """Print size, lengths and shares of the labels of every split, and where they are.

    Args:
        data: a prepared task with classes.
        seconds: what the preparation took.
    """
    table = Table(title=f"{data.spec.name}, prepared in {seconds:.1f} s", title_justify="left")
    table.add_column("split")
    for heading in ("examples", "mean steps", "longest"):
        table.add_column(heading, justify="right")
    table.add_column(f"share of labels 0 to {data.spec.output_size - 1}, %")
    splits = {name: data.split(name) for name in SPLITS}
    for name, split in splits.items():
        table.add_row(name, *_facts(split, data.spec.output_size))
    console = Console()
    console.print(table)
    console.print(f"encoded in {splits['train'].path.parent}", soft_wrap=True)


def _facts(split: SequenceDataset, classes: int) -> list[str]:
    shares = 100 * np.bincount(split.targets, minlength=classes) / len(split)
    steps = f"{split.lengths.mean():.1f}", str(split.lengths.max())
    return [f"{len(split):,}", *steps, " ".join(f"{share:.1f}" for share in shares)]
