"""Random numbers inside compiled loops: SplitMix64 (Steele, Lea and Flood 2014, figure 16).

One addition and one mixing per number. Written out here because the bytes of a data set must not change with a version
of NumPy or Numba. A stream is its state, (1,) uint64, which every call moves on.
"""

import numpy as np
from numba import njit

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _32, _11 = (np.uint64(shift) for shift in (30, 27, 31, 32, 11))

compiled = njit(cache=True, nogil=True)


@compiled
def mixed(z):
    """The mixing of 64 bits: one to one, and without visible pattern."""
    z = (z ^ (z >> _30)) * _MIX1
    z = (z ^ (z >> _27)) * _MIX2
    return z ^ (z >> _31)


@compiled
def stream(seed, index):
    """The stream of item `index` of a data set: its own start for every pair, far from all others."""
    return np.full(1, mixed(mixed(np.uint64(seed) + _GOLDEN) + np.uint64(index)))


@compiled
def bits(state):
    """The next 64 random bits."""
    state[0] += _GOLDEN
    return mixed(state[0])


@compiled
def uniform(state):
    """A uniform number in [0, 1)."""
    return np.float64(bits(state) >> _11) * 2.0**-53


@compiled
def below(state, n):
    """A uniform integer in 0..n-1 for n up to 2**32; its bias is below n * 2**-32."""
    return np.int64(((bits(state) >> _32) * np.uint64(n)) >> _32)
