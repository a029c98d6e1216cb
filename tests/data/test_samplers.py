"""The order of an epoch: repeatable, complete, and with `BucketSampler` of like lengths in each batch."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from longrange.data.samplers import (
    POOL_BATCHES,
    BucketSampler,
    EpochSampler,
    TrainingBatches,
    evaluation_batches,
    longest_first,
)
from longrange.models.dropout import Part


def lengths_of(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 4096, n)


def order(sampler, epoch: int = 0) -> list[int]:
    sampler.set_epoch(epoch)
    return list(sampler)


@pytest.mark.parametrize("kind", ["plain", "bucket"])
def test_order_depends_on_seed_and_epoch_alone(kind):
    def ordered(seed, epoch):
        sampler = EpochSampler(100, seed) if kind == "plain" else BucketSampler(lengths_of(100), 4, seed)
        return order(sampler, epoch)

    assert ordered(0, 1) == ordered(0, 1)
    assert len({tuple(ordered(seed, epoch)) for seed in (0, 1) for epoch in (0, 1, 2)}) == 6


def test_a_sampler_repeats_its_epoch_until_told():
    for sampler in (EpochSampler(50, seed=3), BucketSampler(lengths_of(50), 8, seed=3)):
        assert list(sampler) == list(sampler)
        assert len(sampler) == 50


@settings(deadline=None)
@given(n=st.integers(1, 700), batch_size=st.integers(1, 9), epoch=st.integers(0, 3))
def test_every_example_comes_once(n, batch_size, epoch):
    assert sorted(order(EpochSampler(n, 0), epoch)) == list(range(n))
    assert sorted(order(BucketSampler(lengths_of(n), batch_size, 0), epoch)) == list(range(n))


@settings(deadline=None)
@given(n=st.integers(9, 300), batch_size=st.integers(6, 9), processes=st.integers(1, 3), accumulate=st.integers(1, 2))
def test_parts_of_all_processes_make_the_batches_of_one(n, batch_size, processes, accumulate):
    def batches(processes, accumulate, rank):
        count = processes * accumulate
        parts = [Part(step * processes + rank, count, batch_size) for step in range(accumulate)]
        found = TrainingBatches(EpochSampler(n, 0), parts)
        assert len(list(found)) == len(found)
        assert [len(batch) for batch in found] == [part.size for part in parts] * (n // batch_size)
        return list(found)

    whole = batches(1, 1, 0)
    shared = [batches(processes, accumulate, rank) for rank in range(processes)]
    for number, batch in enumerate(whole):
        own = slice(number * accumulate, (number + 1) * accumulate)
        assert sorted(i for share in shared for part in share[own] for i in part) == sorted(batch)


@settings(deadline=None)
@given(n=st.integers(1, 200), batch_size=st.integers(1, 9), processes=st.integers(1, 9))
def test_evaluation_shares_every_example_once(n, batch_size, processes):
    assume(min(n, batch_size) >= processes)
    shares = [evaluation_batches(range(n), batch_size, processes, rank) for rank in range(processes)]
    assert sorted(i for share in shares for batch in share for i in batch) == list(range(n))
    assert len({len(share) for share in shares}) == 1
    assert all(0 < len(batch) <= -(-batch_size // processes) + 1 for share in shares for batch in share)


def test_batches_hold_like_lengths_and_the_rest_is_random():
    lengths, size = lengths_of(50_007), 50
    batches = np.array(order(BucketSampler(lengths, size, 0))[:50_000]).reshape(-1, size)
    longest = lengths[batches].max(axis=1)
    assert 1 - lengths[batches].sum() / (longest.sum() * size) < 0.03
    assert 0.45 < np.mean(np.diff(longest) > 0) < 0.55, "batches come in no order of length"
    first, second = (order(BucketSampler(lengths, size, 0), epoch)[:50_000] for epoch in (0, 1))
    meeting = [{frozenset(batch) for batch in np.array(o).reshape(-1, size).tolist()} for o in (first, second)]
    assert not meeting[0] & meeting[1], "other examples meet in the next epoch"
    dropped = lengths[order(BucketSampler(lengths, size, 0))[50_000:]]
    assert dropped.min() < 2000 < dropped.max()


def test_pools_are_sorted_within_themselves_only():
    size = 2
    lengths = np.arange(2 * POOL_BATCHES * size)
    batches = np.array(order(BucketSampler(lengths, size, 0))).reshape(-1, size)
    assert (np.diff(lengths[batches], axis=1) > 0).all()
    assert np.diff(lengths[batches], axis=1).max() > 1, "a single pool would pair neighbours"


def test_longest_first():
    assert longest_first(np.array([3, 9, 3, 10])) == [3, 1, 0, 2]
