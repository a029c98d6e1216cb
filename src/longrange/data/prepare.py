"""Preparing one task or all of them, and what is shown then."""

import traceback
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

import numpy as np
from rich.console import Console

from longrange.data.module import SequenceDataModule
from longrange.data.summary import print_splits
from longrange.errors import DataError, LongrangeError

_SHOWN = 8


def prepare(task: SequenceDataModule, preview: Path | None) -> None:
    """Prepare a task; print its splits, where they are, and the time it took.

    Args:
        task: what to prepare.
        preview: the folder for a picture of a few training examples; None: no picture.

    Raises:
        DataError: the data is missing or damaged, or something cannot be written; the task has no preview.
    """
    began = perf_counter()
    task.prepare_data()
    print_splits(task, seconds=perf_counter() - began)
    if preview is not None:
        _preview(task, preview / f"{task.spec.name}.png")


def prepare_all(tasks: Mapping[str, SequenceDataModule | LongrangeError], preview: Path | None) -> dict[str, str]:
    """Prepare each task, going on where one cannot be prepared.

    Args:
        tasks: by name in configs/data: the task, or why it could not be set up.
        preview: as in `prepare`.
    Returns:
        By task: why it could not be prepared, one line.
    """
    failures = {}
    for name, task in tasks.items():
        try:
            if isinstance(task, LongrangeError):
                raise task
            prepare(task, preview)
        except LongrangeError as error:
            failures[name] = str(error)
        except Exception as error:
            traceback.print_exception(error)
            failures[name] = f"a bug, its traceback is above ({type(error).__name__})"
    return failures


def _preview(task: SequenceDataModule, path: Path) -> None:
    from longrange.data.preview import draw  # Matplotlib is slow to import

    if not hasattr(task, "preview"):
        raise DataError(f"{task.spec.name}: has no preview; leave out preview=true")
    count = len(task.split("train"))
    chosen = np.linspace(0, count - 1, min(_SHOWN, count)).astype(int).tolist()
    draw(f"{task.spec.name}: {len(chosen)} of {count:,} training examples", task.preview("train", chosen), path)
    Console().print(f"a picture of some is {path}", soft_wrap=True, markup=False)
