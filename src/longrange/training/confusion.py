"""Which classes were taken for which: the confusion matrix of the test split, as the run record holds it."""

from typing import Any

from longrange.data.module import SequenceDataModule
from longrange.training.task import SequenceTask

MOST_CLASSES = 50  # a larger matrix can neither be read nor drawn


def confusion(task: SequenceTask, data: SequenceDataModule) -> dict[str, Any] | None:
    """The counts of the test split that was run last; None for a regression and for more than 50 classes.

    Args:
        task: after its test.
        data: the task's data, which may name its classes.
    Returns:
        {"classes": names, "counts": list of rows}; counts[i][j] examples of class i were taken for class j.
    """
    if task.confusion is None or task.spec.output_size > MOST_CLASSES:
        return None
    names = data.classes or range(task.spec.output_size)
    return {"classes": [str(name) for name in names], "counts": task.confusion.compute().tolist()}
