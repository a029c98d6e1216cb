"""Random splits: sizes, shares, and nothing in two parts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longrange.data.held_out import grouped, shuffled, stratified
from longrange.errors import DataError


def test_shuffled_is_the_split_of_scikit_learn():
    # The example in the documentation of train_test_split: five rows, test_size=0.33, random_state=42.
    first, second = shuffled(5, 0.33, seed=42)
    assert (first.tolist(), second.tolist()) == ([2, 0, 3], [1, 4])


def test_the_published_sizes_of_bidmc():
    train, rest = shuffled(7949, 0.3, seed=0)
    val, test = shuffled(len(rest), 0.5, seed=1)
    assert (len(train), len(val), len(test)) == (5564, 1192, 1193)


def test_the_published_sizes_of_sc10():
    classes = np.repeat(np.arange(10), 3498)[:34_975]
    train, rest = stratified(classes, 0.7, seed=0)
    val, test = stratified(classes[rest], 0.5, seed=1)
    assert (len(train), len(val), len(test)) == (24_482, 5_246, 5_247)


@given(st.lists(st.integers(0, 4), min_size=4, max_size=60), st.floats(0.3, 0.7), st.integers(0, 5))
def test_stratified_keeps_shares_and_every_example(labels, kept, seed):
    classes = np.array(labels)
    first, second = stratified(classes, kept, seed)
    assert sorted([*first, *second]) == list(range(len(classes)))
    assert len(first) == int(kept * len(classes))
    shares = np.bincount(classes[first], minlength=5) - kept * np.bincount(classes, minlength=5)
    assert np.abs(shares).max() < 1


def test_stratified_depends_on_the_seed():
    classes = np.repeat([0, 1], 50)
    same, other = stratified(classes, 0.5, seed=0)[0], stratified(classes, 0.5, seed=1)[0]
    assert np.array_equal(stratified(classes, 0.5, seed=0)[0], same)
    assert not np.array_equal(same, other)


def test_stratified_refuses_an_empty_part():
    with pytest.raises(DataError, match="1 examples are too few to be split"):
        stratified(np.zeros(1, np.int64), 0.5, seed=0)


@given(st.lists(st.integers(1, 9), min_size=7, max_size=30), st.integers(0, 5))
def test_grouped_keeps_groups_together(sizes, seed):
    groups = np.random.default_rng(seed).permutation(np.repeat([f"s{i:02}" for i in range(len(sizes))], sizes))
    if max(sizes) > 0.3 * len(groups):
        return
    parts = grouped(groups, (0.15, 0.15), seed)
    assert sorted(np.concatenate(parts)) == list(range(len(groups)))
    val, test, train = (set(groups[part]) for part in parts)
    assert not val & test | test & train | val & train
    for part in parts[:2]:
        assert 0.15 * len(groups) <= len(part) < 0.15 * len(groups) + max(sizes)


def test_grouped_refuses_too_few_groups():
    with pytest.raises(DataError, match="2 groups are too few to be split into 3 parts"):
        grouped(np.array(["a", "b", "b"]), (0.15, 0.15), seed=0)
