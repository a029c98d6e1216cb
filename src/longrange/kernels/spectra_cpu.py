"""What becomes of the transforms that `fft_cpu` makes of real sequences, in Numba: products, and plain spectra.

Such a transform holds the even and the odd steps as real and imaginary parts. Their own transforms, E and O, come from
the numbers at a frequency and its negative: from places p and q, where q is as far from the end of [2^j, 2^(j+1)) as p
is from its start; 0 and 1 are their own. With E + x (i O) for a sequence and w for the factor that a delay by two steps
means, a convolution is a product modulo x^2 + w, and a sequence's spectrum at frequency k is E + exp(-pi i k / N) O.
"""

from longrange.kernels.complex_lanes import (
    ROW,
    load,
    minus,
    minus_conjugate,
    minus_i_times,
    minus_then_conjugate,
    plus,
    plus_conjugate,
    plus_i_times,
    spread_pair,
    store,
    times,
    times_conjugate,
)
from longrange.kernels.fft_cpu import FIRST
from longrange.kernels.lanes import nothing
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


@part
def from_spectrum(spectrum, z, places, turns):
    """z = transform, times 2, of the 2 N steps that numbers at the frequencies 0 to N are the spectrum of.

    places and turns are `fft_cpu.real_tables`; the first number and the last are real.
    """
    N = len(places)
    for k in range(N):
        a, b = load(spectrum, k * ROW), load(spectrum, (N - k) * ROW)
        odd = times_conjugate(minus_conjugate(a, b), spread_pair(turns, 2 * k))
        store(z, places[k] * ROW, plus_i_times(plus_conjugate(a, b), odd))


@part
def from_spectrum_backward(z, spectrum, places, turns):
    """Gradients in the spectrum from the transform of those in the steps that `inverse` makes of `from_spectrum`."""
    N = len(places)
    re, im = load(z, FIRST)
    store(spectrum, FIRST, (re + im, nothing(z)))
    store(spectrum, N * ROW, (re - im, nothing(z)))
    for k in range(1, N):
        a, b = load(z, places[k] * ROW), load(z, places[N - k] * ROW)
        odd = times(minus_conjugate(a, b), spread_pair(turns, 2 * k))
        store(spectrum, k * ROW, minus_i_times(plus_conjugate(a, b), odd))


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
