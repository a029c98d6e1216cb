"""What stands between the transforms of a convolution on the CPU, in Numba: one pass over memory each.

Time and features change places in tiles, so that whole cache lines are read and written. Products of spectra and their
sums are taken feature by feature: a spectrum that several of them need comes from the cache.
"""

import numba
from torch import Tensor

from longrange.kernels.numba_tools import arrays, inline, parallel

_FEATURES, _STEPS = 16, 64  # of a tile


def features_first(u: Tensor, n: int) -> Tensor:
    """(B, L, H) to (B, H, n), zero-padded from step L on; n at least L."""
    out = u.new_empty(u.shape[0], u.shape[2], n)
    _features_first(*arrays(u, out))
    return out


def time_first(y: Tensor, L: int) -> Tensor:
    """The first L steps of (B, H, n) as (B, L, H)."""
    out = y.new_empty(y.shape[0], L, y.shape[1])
    _time_first(*arrays(y, out))
    return out


def products(u_hat: Tensor, K_hat: Tensor) -> Tensor:
    """u_hat K_hat for u_hat (B, H, F) and K_hat (M, H, F), all complex: (B, M, H, F)."""
    out = u_hat.new_empty(len(u_hat), *K_hat.shape)
    _products(*arrays(u_hat, K_hat, out))
    return out


def correlations(
    grad: Tensor, u_hat: Tensor, K_hat: Tensor, for_u: bool, for_K: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of `products`.

    Args:
        grad: (B, M, H, F) complex, no longer needed: the first result may take its place.
        u_hat: (B, H, F).
        K_hat: (M, H, F).
        for_u: whether the gradient in u_hat is wanted.
        for_K: whether the gradient in K_hat is wanted.
    Returns:
        Sums of grad conj(K_hat) over channels, (B, H, F), and of grad conj(u_hat) over sequences, (M, H, F); None where
        not wanted.
    """
    grad, grad_K = grad.contiguous(), K_hat.new_empty(K_hat.shape)
    _correlations(*arrays(grad, u_hat, K_hat, grad_K), for_u, for_K)
    return grad[:, 0] if for_u else None, grad_K if for_K else None


@parallel
def _features_first(u, out):
    B, H, n = out.shape
    L = u.shape[1]
    wide, long = (H + _FEATURES - 1) // _FEATURES, (n + _STEPS - 1) // _STEPS
    for tile in numba.prange(B * wide * long):
        i, h, k = tile // long // wide, tile // long % wide * _FEATURES, tile % long * _STEPS
        rows = out[i, h : h + _FEATURES]
        _turn(u[i, k : k + _STEPS, h : h + _FEATURES], rows[:, k : k + _STEPS])
        rows[:, max(k, L) : k + _STEPS] = 0


@parallel
def _time_first(y, out):
    B, L, H = out.shape
    wide, long = (H + _FEATURES - 1) // _FEATURES, (L + _STEPS - 1) // _STEPS
    for tile in numba.prange(B * wide * long):
        i, h, k = tile // long // wide, tile // long % wide * _FEATURES, tile % long * _STEPS
        _turn(y[i, h : h + _FEATURES, k : k + _STEPS], out[i, k : k + _STEPS, h : h + _FEATURES])


@inline
def _turn(source, out):
    """out = source^T for the rows that both have; those of either may be longer."""
    for c in range(out.shape[0]):
        row = out[c]
        for r in range(source.shape[0]):
            row[r] = source[r, c]


@parallel
def _products(u, K, out):
    for h in numba.prange(K.shape[1]):
        for i in range(len(u)):
            for m in range(len(K)):
                _multiply(u[i, h], K[m, h], out[i, m, h])


@inline
def _multiply(a, b, out):
    """out = a b."""
    for f in range(len(out)):
        out[f] = a[f] * b[f]


@parallel
def _correlations(grad, u, K, grad_K, for_u, for_K):
    """Sums over channels take the place of the first channel's gradient, which nothing reads any more by then."""
    for h in numba.prange(K.shape[1]):
        if for_K:
            for m in range(len(K)):
                grad_K[m, h] = 0
                for i in range(len(u)):
                    _correlate(grad[i, m, h], u[i, h], grad_K[m, h])
        if for_u:
            for i in range(len(u)):
                _multiply_conjugate(grad[i, 0, h], K[0, h])
                for m in range(1, len(K)):
                    _correlate(grad[i, m, h], K[m, h], grad[i, 0, h])


@inline
def _correlate(a, b, out):
    """out += a conj(b)."""
    for f in range(len(out)):
        out[f] += a[f] * b[f].conjugate()


@inline
def _multiply_conjugate(a, b):
    """a = a conj(b)."""
    for f in range(len(a)):
        a[f] *= b[f].conjugate()
