"""What becomes of the transforms that `fft_cpu` makes of real sequences, in Numba: products, and plain spectra.

Such a transform holds the even and the odd steps as real and imaginary parts. Their own transforms, E and O, come from
the numbers at a frequency and its negative: from places p and q, where q is as far from the end of [2^j, 2^(j+1)) as p
is from its start; 0 and 1 are their own. With E + x (i O) for a sequence and w for the factor that a delay by two steps
means, a convolution is a product modulo x^2 + w, and a sequence's spectrum at frequency k is E + exp(-pi i k / N) O.
"""

from longrange.kernels.complex_vectors import (
    ROW,
    broadcast_complex,
    load_complex,
    minus,
    minus_conjugate,
    minus_i_times,
    minus_then_conjugate,
    plus,
    plus_conjugate,
    plus_i_times,
    store_complex,
    times,
    times_conjugate,
)
from longrange.kernels.fft_cpu import ZERO
from longrange.kernels.numba_tools import internal, llvm_inline
from longrange.kernels.vectors import zero_vector


@internal
def multiply(a, b, out, twiddles):
    """out = transform of the convolution, times 4, of what a and b are the transforms of."""
    first = ZERO
    _multiply_pair(a, b, out, first, first, twiddles)
    first += 1
    while first < len(a) // ROW:
        for i in range((first + 1) // 2):
            _multiply_pair(a, b, out, first + i, 2 * first - 1 - i, twiddles)
        first *= 2


@internal
def add_correlation(a, b, out, twiddles):
    """out += transform of the correlation, times 4, of what a and b are the transforms of."""
    first = ZERO
    _correlate_pair(a, b, out, first, first, twiddles)
    first += 1
    while first < len(a) // ROW:
        for i in range((first + 1) // 2):
            _correlate_pair(a, b, out, first + i, 2 * first - 1 - i, twiddles)
        first *= 2


@internal
def from_spectrum(spectrum, z, places, twiddles):
    """z = transform, times 2, of the 2 N steps that numbers at the frequencies 0 to N are the spectrum of.

    places and twiddles are `fft_cpu.real_tables`; the first number and the last are real.
    """
    N = len(places)
    for k in range(N):
        a, b = load_complex(spectrum, k * ROW), load_complex(spectrum, (N - k) * ROW)
        odd = times_conjugate(minus_conjugate(a, b), broadcast_complex(twiddles, 2 * k))
        store_complex(z, places[k] * ROW, plus_i_times(plus_conjugate(a, b), odd))


@internal
def from_spectrum_backward(z, spectrum, places, twiddles):
    """Gradients in the spectrum from the transform of those in the steps that `inverse` makes of `from_spectrum`."""
    N = len(places)
    re, im = load_complex(z, ZERO)
    store_complex(spectrum, ZERO, (re + im, zero_vector(z)))
    store_complex(spectrum, N * ROW, (re - im, zero_vector(z)))
    for k in range(1, N):
        a, b = load_complex(z, places[k] * ROW), load_complex(z, places[N - k] * ROW)
        odd = times(minus_conjugate(a, b), broadcast_complex(twiddles, 2 * k))
        store_complex(spectrum, k * ROW, minus_i_times(plus_conjugate(a, b), odd))


@llvm_inline
def _multiply_pair(a, b, out, p, q, twiddles):
    """`multiply` for the numbers of a frequency and its negative, at p and q."""
    a_even, a_odd = _halves(a, p, q)
    b_even, b_odd = _halves(b, p, q)
    even = minus(times(a_even, b_even), times(times(a_odd, b_odd), broadcast_complex(twiddles, 2 * p)))
    odd = plus(times(a_even, b_odd), times(a_odd, b_even))
    store_complex(out, p * ROW, plus(even, odd))
    store_complex(out, q * ROW, minus_then_conjugate(even, odd))


@llvm_inline
def _correlate_pair(a, b, out, p, q, twiddles):
    """The transpose of the multiplication with b, applied to a; where p is q, both find the same old number."""
    a_even, a_odd = _halves(a, p, q)
    b_even, b_odd = _halves(b, p, q)
    turned = times(b_odd, broadcast_complex(twiddles, 2 * p))
    even = plus(times_conjugate(a_even, b_even), times_conjugate(a_odd, b_odd))
    odd = minus(times_conjugate(a_odd, b_even), times_conjugate(a_even, turned))
    at_p, at_q = load_complex(out, p * ROW), load_complex(out, q * ROW)
    store_complex(out, p * ROW, plus(at_p, plus(even, odd)))
    store_complex(out, q * ROW, plus(at_q, minus_then_conjugate(even, odd)))


@llvm_inline
def _halves(z, p, q):
    """2 E and 2 i O of the even and the odd steps."""
    a, b = load_complex(z, p * ROW), load_complex(z, q * ROW)
    return plus_conjugate(a, b), minus_conjugate(a, b)
