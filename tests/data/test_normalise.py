"""Statistics over parts and decoding of batches against plain NumPy; missing steps count nowhere."""

import pickle

import numpy as np
import pytest
import torch

from longrange.data.normalise import MISSING, Moments, Normalised, drop, present


def clips(n=7, L=10, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-3000, 3000, (n, L, 1)).astype(np.int16)


@pytest.mark.parametrize("axes", [(0,), (0, 1)])
def test_moments_of_parts_are_those_of_the_whole(axes):
    whole = np.random.default_rng(0).normal(-100, 3, (9, 5, 4)).astype(np.float32)
    moments = Moments(axes, masked=False)
    for part in (whole[:4], whole[4:5], whole[5:]):
        moments.add(part)
    mean, deviation = moments.mean_and_deviation()
    np.testing.assert_allclose(mean, whole.astype(np.float64).mean(axes), rtol=1e-12)
    np.testing.assert_allclose(deviation, whole.astype(np.float64).std(axes, ddof=1), rtol=1e-8)


def test_moments_leave_missing_steps_out():
    part = np.array([[1, 5], [3, MISSING[np.dtype(np.int16)]], [5, MISSING[np.dtype(np.int16)]]], np.int16)[..., None]
    moments = Moments((0,), masked=True)
    moments.add(part)
    np.testing.assert_allclose(moments.mean_and_deviation()[..., 0], [[3, 5], [2, 0]])


def test_without_a_mask_every_value_counts():
    moments = Moments((0,), masked=False)
    moments.add(np.full((2, 1, 1), -32768, np.int16))
    assert moments.mean_and_deviation().ravel().tolist() == [-32768, 0]


@pytest.mark.parametrize("decimate", [1, 2, 3])
def test_decoding_by_time_step(decimate):
    raw = clips()
    moments = Moments((0,), masked=False)
    moments.add(raw)
    decoded = Normalised(moments.mean_and_deviation(), 2.5, decimate, masked=False)(raw)
    expected = (raw - raw.mean(0)) / (raw.std(0, ddof=1) + 2.5)
    assert decoded.dtype == torch.float32
    np.testing.assert_allclose(decoded.numpy(), expected[:, ::decimate], rtol=1e-5, atol=1e-6)


def test_decoding_by_channel():
    raw = np.random.default_rng(1).normal(-100, 3, (6, 4, 3)).astype(np.float32)
    before = raw.copy()
    moments = Moments((0, 1), masked=False)
    moments.add(raw)
    decoded = Normalised(moments.mean_and_deviation(), 0.0, 1, masked=False)(raw).numpy()
    np.testing.assert_allclose(decoded.mean((0, 1)), 0, atol=1e-4)
    np.testing.assert_allclose(decoded.std((0, 1), ddof=1), 1, rtol=1e-4)
    np.testing.assert_array_equal(raw, before)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_dropped_steps_become_zero_and_are_marked(dtype):
    raw = np.full((3, 10, 2), 7, dtype)
    drop(raw, 0.3, np.random.default_rng(0))
    statistics = np.stack([np.full(2, 4.0), np.full(2, 3.0)])
    decoded = Normalised(statistics, 0.0, 1, masked=True)(raw).numpy()
    assert decoded.shape == (3, 10, 3)
    there = decoded[..., 2] == 1
    assert (there.sum(1) == 7).all()
    assert (decoded[there][:, :2] == 1).all()
    assert (decoded[~there] == 0).all()


def test_every_example_loses_steps_of_its_own():
    raw = clips(n=5, L=100)
    drop(raw, 0.5, np.random.default_rng(3))
    patterns = {tuple(row) for row in present(raw)[..., 0].tolist()}
    assert len(patterns) == 5


def test_the_least_sample_is_not_taken_for_missing():
    raw = np.full((1, 10, 1), -32768, np.int16)
    drop(raw, 0.25, np.random.default_rng(0))
    assert present(raw).sum() == 8
    assert raw.max() == -32767


def test_dropping_less_than_one_step_changes_nothing():
    raw = np.full((1, 10, 1), -32768, np.int16)
    drop(raw, 0.09, np.random.default_rng(0))
    assert (raw == -32768).all()


def test_decoders_travel_to_loader_processes():
    raw = clips()
    decode = Normalised(np.ones((2, 10, 1)), 1.0, 2, masked=True)
    assert torch.equal(pickle.loads(pickle.dumps(decode))(raw), decode(raw))
