"""The estimate of a step on several devices: by hand, and at its limits."""

import pytest

from longrange.benchmarks.step_estimate import Link, OneDevice, step_on

PATHX = OneDevice(seconds=3.2, batch_size=32, gradient_bytes=2_800_000, small_sums=14)
LINK = Link(bandwidth=100e9, latency=20e-6)


def test_eight_devices_by_hand():
    found = step_on(8, PATHX, LINK)
    assert (found.devices, found.examples) == (8, 4)
    assert found.compute_s == pytest.approx(0.4)
    assert found.gradient_s == pytest.approx(20e-6 + 2 * 7 / 8 * 28e-6)
    assert found.small_s == pytest.approx(280e-6)
    assert found.step_s == pytest.approx(0.400349)
    assert found.speedup == pytest.approx(3.2 / 0.400349)
    assert found.efficiency == pytest.approx(found.speedup / 8)


def test_one_device_tells_nobody():
    assert step_on(1, PATHX, LINK) == (1, 32, 3.2, 0.0, 0.0, 3.2, 1.0, 1.0)


def test_devices_beyond_the_batch_have_nothing_to_do():
    most, beyond = step_on(32, PATHX, LINK), step_on(64, PATHX, LINK)
    assert most.examples == beyond.examples == 1
    assert beyond.step_s > most.step_s


def test_the_fullest_device_decides():
    assert step_on(5, PATHX, LINK).examples == 7


def test_a_slow_link_makes_more_devices_slower():
    assert step_on(2, PATHX, Link(bandwidth=1e9, latency=1.0)).speedup < 1
