"""Products of the transforms that `fft_cpu` makes of real sequences, in Numba.

Such a transform holds the even and the odd steps as real and imaginary parts. Their own transforms, E and O, come from
the numbers at a frequency and its negative: from places p and q, where q is as far from the end of [2^j, 2^(j+1)) as p
is from its start; 0 and 1 are their own. With E + x (i O) for a sequence and w for the factor that a delay by two steps
means, a convolution is a product modulo x^2 + w.
"""

from longrange.kernels.complex_lanes import (
    ROW,
    load,
    minus,
    minus_conjugate,
    minus_then_conjugate,
    plus,
    plus_conjugate,
    spread_pair,
    store,
    times,
    times_conjugate,
)
from longrange.kernels.fft_cpu import FIRST
from longrange.kernels.numba_tools import embedded, part


@part
def multiply(a, b, out, turns):
    """out = transform of the convolution, times 4, of what a and b are the transforms of."""
    first = FIRST
    _multiply_pair(a, b, out, first, first, turns)
    first += 1
    while first < len(a) // ROW:
        for i in range((first + 1) // 2):
            _multiply_pair(a, b, out, first + i, 2 * first - 1 - i, turns)
        first *= 2


@part
def add_correlation(a, b, out, turns):
    """out += transform of the correlation, times 4, of what a and b are the transforms of."""
    first = FIRST
    _correlate_pair(a, b, out, first, first, turns)
    first += 1
    while first < len(a) // ROW:
        for i in range((first + 1) // 2):
            _correlate_pair(a, b, out, first + i, 2 * first - 1 - i, turns)
        first *= 2


@embedded
def _multiply_pair(a, b, out, p, q, turns):
    """`multiply` for the numbers of a frequency and its negative, at p and q."""
    a_even, a_odd = _halves(a, p, q)
    b_even, b_odd = _halves(b, p, q)
    even = minus(times(a_even, b_even), times(times(a_odd, b_odd), spread_pair(turns, 2 * p)))
    odd = plus(times(a_even, b_odd), times(a_odd, b_even))
    store(out, p * ROW, plus(even, odd))
    store(out, q * ROW, minus_then_conjugate(even, odd))


@embedded
def _correlate_pair(a, b, out, p, q, turns):
    """The transpose of the multiplication with b, applied to a; where p is q, both find the same old number."""
    a_even, a_odd = _halves(a, p, q)
    b_even, b_odd = _halves(b, p, q)
    turned = times(b_odd, spread_pair(turns, 2 * p))
    even = plus(times_conjugate(a_even, b_even), times_conjugate(a_odd, b_odd))
    odd = minus(times_conjugate(a_odd, b_even), times_conjugate(a_even, turned))
    at_p, at_q = load(out, p * ROW), load(out, q * ROW)
    store(out, p * ROW, plus(at_p, plus(even, odd)))
    store(out, q * ROW, plus(at_q, minus_then_conjugate(even, odd)))


@embedded
def _halves(z, p, q):
    """2 E and 2 i O of the even and the odd steps."""
    a, b = load(z, p * ROW), load(z, q * ROW)
    return plus_conjugate(a, b), minus_conjugate(a, b)
