"""The random numbers of the generators: the published generator's, one stream for every example."""

import numpy as np

from longrange.data.generate.splitmix import below, bits, stream, uniform


def test_numbers_are_splitmix64():
    state = np.zeros(1, np.uint64)
    assert [int(bits(state)) for _ in range(3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_streams_start_apart():
    starts = {int(stream(seed, index)[0]) for seed in range(20) for index in range(500)}
    assert len(starts) == 10_000
    assert stream(3, 4) == stream(3, 4)


def test_numbers_are_uniform_over_neighbouring_streams():
    """The first numbers of streams 0, 1, 2, ... must not resemble each other."""
    states = [stream(0, index) for index in range(5000)]
    first = np.array([uniform(state) for state in states])
    counts = np.bincount([below(state, 10) for state in states], minlength=10)
    assert abs(first.mean() - 0.5) < 0.02  # standard deviation 0.004
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.06  # standard deviation 0.014
    assert (abs(counts - 500) < 110).all()  # standard deviation 21
