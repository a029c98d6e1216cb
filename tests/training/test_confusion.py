"""The confusion matrix counts every test example once, at the place that its class and its answer say."""

from types import SimpleNamespace

import pytest
import torch
from torchmetrics.classification import MulticlassConfusionMatrix
from toy_task import SIZES, ToyTask, toy_config

from longrange.training import train
from longrange.training.confusion import MOST_CLASSES, confusion


def counted(n_classes: int, answers: list[int], targets: list[int]) -> SimpleNamespace:
    """A task after a test."""
    counts = MulticlassConfusionMatrix(n_classes)
    counts.update(torch.tensor(answers), torch.tensor(targets))
    return SimpleNamespace(confusion=counts, spec=SimpleNamespace(output_size=n_classes))


def test_rows_are_classes_and_columns_answers():
    found = confusion(counted(3, answers=[1, 1, 2], targets=[0, 0, 2]), ToyTask(batch_size=1))
    assert found == {"classes": ["0", "1", "2"], "counts": [[0, 2, 0], [0, 0, 0], [0, 0, 1]]}


def test_a_training_hands_over_the_matrix_of_its_test(tmp_path, monkeypatch):
    monkeypatch.setattr(ToyTask, "classes", ("a", "b", "c"))
    outcome = train(toy_config(tmp_path))
    assert outcome.confusion["classes"] == ["a", "b", "c"]
    counts = torch.tensor(outcome.confusion["counts"])
    assert counts.sum() == SIZES["test"]
    assert (counts.diagonal().sum() / counts.sum()).item() == pytest.approx(outcome.metrics["test"]["accuracy"])
    assert (counts.sum(dim=1).max() / counts.sum()).item() == pytest.approx(outcome.baseline)


def test_none_for_a_regression_and_for_many_classes():
    data = ToyTask(batch_size=1)
    assert confusion(SimpleNamespace(confusion=None), data) is None
    assert confusion(counted(MOST_CLASSES, [0], [1]), data) is not None
    assert confusion(counted(MOST_CLASSES + 1, [0], [1]), data) is None
