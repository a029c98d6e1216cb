"""Convolutions on the CPU whose transforms stay in the cache, in Numba.

A task is a slice of features, for which it goes through the sequences one after another: transform, products, transform
back. Nothing but the inputs and the outputs is in memory, and sequences have nothing to do with each other.
"""

import numba
from torch import Tensor

from longrange.kernels.fft_cpu import forward, inverse, tables
from longrange.kernels.numba_tools import aligned, arrays, internal, parallel
from longrange.kernels.spectra_cpu import add_correlation, multiply
from longrange.kernels.transpose_cpu import steps_of, to_features, to_steps, whole_slices
from longrange.kernels.vectors import LANES


def convolve(u: Tensor, K: Tensor, K_back: Tensor | None, D: Tensor | None, n: int) -> Tensor:
    """As in `longrange.ssm.convolution`, without gradients; all of the same type.

    Args:
        u: (B, L, H).
        K: (M, H, L_K).
        K_back: (M, H, L_back); 0 where None.
        D: (M, H); 0 where None.
        n: what `fft_cpu.period` says.
    Returns:
        (B, L, M, H).
    """
    H, inputs = u.shape[-1], _all_whole(u, K, K_back, D)
    y = u.new_empty(*u.shape[:2], len(K), inputs[0].shape[-1])
    _convolve(*arrays(*inputs, y, *tables(u.dtype)), n)
    return y[..., :H].contiguous()


def correlate(
    grad_y: Tensor, u: Tensor, K: Tensor, K_back: Tensor | None, D: Tensor | None, n: int, for_u: bool, for_K: bool
) -> list[Tensor | None]:
    """Gradients of `convolve` in u, if for_u, and in K, K_back and D, if for_K; None for the others and for None."""
    shapes = [None if x is None else x.shape for x in (u, K, K_back, D)]
    u, *kernels = _all_whole(u, K, K_back, D)
    grad_y = whole_slices(grad_y, -1)
    grads = [x.new_empty(x.shape) for x in (u, *kernels)]
    _correlate(*arrays(grad_y, u, *kernels, *grads, *tables(u.dtype)), n, for_u, for_K)
    wanted = (for_u, for_K, for_K, for_K)
    return [
        None if shape is None or not needed else x[tuple(map(slice, shape))].contiguous()
        for x, shape, needed in zip(grads, shapes, wanted, strict=True)
    ]


def _all_whole(u: Tensor, K: Tensor, K_back: Tensor | None, D: Tensor | None) -> list[Tensor]:
    """All with zeros after the last feature, up to a multiple of LANES; a future of no steps and a D of 0 for None."""
    K_back = K[..., :0] if K_back is None else K_back
    D = K.new_zeros(K.shape[:2]) if D is None else D
    return [whole_slices(u, -1), whole_slices(K, -2), whole_slices(K_back, -2), whole_slices(D, -1)]


@parallel
def _convolve(u, K, K_back, D, y, factors, twiddles, n):
    for task in numba.prange(u.shape[2] // LANES):
        _convolve_slice(task * LANES, u, K, K_back, D, y, factors, twiddles, n)


@internal
def _convolve_slice(h, u, K, K_back, D, y, factors, twiddles, n):
    M, size, features = len(K), n * LANES, slice(h, h + LANES)
    z, out, kernels = aligned(u, size), aligned(u, size), aligned(u, M * size)
    for m in range(M):
        _kernel(K, K_back, D, m, h, u.shape[1], kernels[m * size : (m + 1) * size], factors)
    for i in range(len(u)):
        forward(u[i, :, features], z, factors)
        for m in range(M):
            multiply(z, kernels[m * size : (m + 1) * size], out, twiddles)
            inverse(out, y[i, :, m, features], factors)


@parallel
def _correlate(grad_y, u, K, K_back, D, grad_u, grad_K, grad_back, grad_D, factors, twiddles, n, for_u, for_K):
    for task in numba.prange(u.shape[2] // LANES):
        grads = grad_K, grad_back, grad_D
        _correlate_slice(task * LANES, grad_y, u, K, K_back, D, grad_u, grads, factors, twiddles, n, for_u, for_K)


@internal
def _correlate_slice(h, grad_y, u, K, K_back, D, grad_u, grads, factors, twiddles, n, for_u, for_K):
    M, L, size, features = len(K), u.shape[1], n * LANES, slice(h, h + LANES)
    z, g, out = aligned(u, size), aligned(u, size), aligned(u, size)
    kernels, sums = aligned(u, M * size), aligned(u, M * size)
    sums[:] = 0
    for m in range(M if for_u else 0):
        _kernel(K, K_back, D, m, h, L, kernels[m * size : (m + 1) * size], factors)
    for i in range(len(u)):
        if for_K:
            forward(u[i, :, features], z, factors)
        out[:] = 0
        for m in range(M):
            forward(grad_y[i, :, m, features], g, factors)
            if for_K:
                add_correlation(g, z, sums[m * size : (m + 1) * size], twiddles)
            if for_u:
                add_correlation(g, kernels[m * size : (m + 1) * size], out, twiddles)
        if for_u:
            inverse(out, grad_u[i, :, features], factors)
    for m in range(M if for_K else 0):
        _gradients(sums[m * size : (m + 1) * size], m, h, L, *grads, factors)


@internal
def _kernel(K, K_back, D, m, h, L, z, factors):
    """z = transform of a period of kernels, divided by what the products and the inverse transform multiply it with.

    The past runs from the first step on, the future backwards from the last.
    """
    steps, past, future = steps_of(z), min(L, K.shape[2]), min(L - 1, K_back.shape[2])
    n = len(steps)
    scale = z.dtype.type(0.5 / n)
    to_steps(K[m, h : h + LANES], steps[:past], scale)
    steps[past : n - future] = 0
    to_steps(K_back[m, h : h + LANES], steps[::-1][:future], scale)
    for c in range(LANES):
        steps[0, c] += D[m, h + c] * scale
    forward(steps, z, factors)


@internal
def _gradients(z, m, h, L, grad_K, grad_back, grad_D, factors):
    """The transpose of `_kernel`; what is read of a kernel ends with the sequence."""
    steps, past, future = steps_of(z), min(L, grad_K.shape[2]), min(L - 1, grad_back.shape[2])
    scale = z.dtype.type(0.5 / len(steps))
    inverse(z, steps, factors)
    to_features(steps[:past], grad_K[m, h : h + LANES], scale)
    to_features(steps[::-1][:future], grad_back[m, h : h + LANES], scale)
    for c in range(LANES):
        grad_D[m, h + c] = steps[0, c] * scale
