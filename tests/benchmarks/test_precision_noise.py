"""Whether curves differ by more than their noise: the rule on made-up curves."""

import numpy as np
import pytest

from longrange.benchmarks.precision_noise import compare, noise_along, smoothed, split_distances

STEPS = np.linspace(2.0, 1.0, 40)


def curves(seed, count=3, noise=0.1):
    """A falling loss; what a seed adds is alike at neighbouring points."""
    walks = np.random.default_rng(seed).normal(size=(count, len(STEPS))).cumsum(axis=1)
    return STEPS + noise * walks / np.sqrt(len(STEPS))


def test_equal_curves_are_within_noise():
    found = compare(curves(0), curves(0))
    assert found.within_noise
    assert (found.distance, found.as_far, found.splits) == (0.0, 10, 10)


@pytest.mark.parametrize("shift", [-0.5, 0.5])
def test_shifted_curves_are_not(shift):
    found = compare(curves(0), curves(1) + shift)
    assert not found.within_noise
    assert found.as_far == 1
    assert found.ratio > 3


def test_curves_that_part_late_are_not():
    late = np.where(np.arange(len(STEPS)) > 25, 0.5, 0.0)
    assert not compare(curves(0), curves(1) + late).within_noise


def test_the_rule_errs_on_curves_of_one_kind_once_in_ten_at_most():
    wrong = [not compare(*np.split(curves(seed, 6), 2)).within_noise for seed in range(400)]
    assert 0.05 < np.mean(wrong) < 0.15


def test_curves_that_end_differ():
    broken = curves(1)
    broken[2, 30:] = np.nan
    found = compare(curves(0), broken)
    assert (found.within_noise, found.as_far) == (False, 0)


def test_distances_of_splits_are_those_of_mean_curves():
    four = curves(3, 4)
    expected = []
    for left, right in [((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))]:
        difference = four[list(left)].mean(0) - four[list(right)].mean(0)
        expected.append(np.sqrt(np.mean(difference**2)))
    np.testing.assert_allclose(split_distances(four), expected)


def test_the_noise_is_the_expected_distance_of_two_sets():
    draws = np.random.default_rng(0).normal(size=(2, 3, 100_000))
    between = np.sqrt(np.mean((draws[0].mean(0) - draws[1].mean(0)) ** 2))
    assert np.sqrt(np.mean(noise_along(draws[0]) ** 2)) == pytest.approx(between, rel=0.02)


def test_a_point_is_the_mean_of_a_window():
    np.testing.assert_allclose(smoothed(np.array([[1.0, 2.0, 6.0, 4.0]]), 2), [[1.5, 4.0, 5.0]])
