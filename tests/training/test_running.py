"""The mean of an epoch's losses."""

import torch
from torchmetrics import MeanMetric

from longrange.training.running import WeightedMean


def test_a_mean_counts_values_by_their_weights():
    ours, plain = WeightedMean(), MeanMetric()
    for value, weight in [(1.0, 50), (2.0, 50), (7.0, 3)]:
        ours.update(torch.tensor(value), weight)
        plain.update(torch.tensor(value), weight)
    assert ours.compute() == plain.compute()
    ours.reset()
    ours.update(torch.tensor(3.0), 2)
    assert ours.compute() == 3.0


def test_a_nan_stays_one():
    mean = WeightedMean()
    mean.update(torch.tensor(float("nan")), 2)
    mean.update(torch.tensor(1.0), 2)
    assert mean.compute().isnan()
