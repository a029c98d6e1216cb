"""The real matrices of a discretised diagonal system on the CPU, in Numba: one function each way.

A rule gives A_bar(Lambda, dt) and the weight g(Lambda, dt) of B, and both derivatives of each: these and the scalars of
a state are in double precision.
"""

import numba
import numpy as np
import torch
from torch import Tensor

from longrange.kernels.numba_tools import arrays, inline, parallel


def system_forward(
    rule: str, Lambda_re: Tensor, Lambda_im: Tensor, dt: Tensor, B: Tensor, C: Tensor, gain: float
) -> tuple[Tensor, Tensor, Tensor]:
    """See `diagonal_system`."""
    p, H, _ = B.shape
    A_bar, B_bar, rows = B.new_empty(2, p), B.new_empty(2, p, H), C.new_empty(H, C.shape[1] // p, 2, p)
    _forward(rule == "zoh", gain, *arrays(Lambda_re, Lambda_im, dt, B, C, A_bar, B_bar, rows))
    return A_bar, B_bar.flatten(0, 1), rows.flatten(1)


def system_backward(
    rule: str, states: tuple[Tensor, ...], B: Tensor, gain: float, grads: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Gradients in `states` (Lambda_re, Lambda_im, dt), B and C from those of what `system_forward` gives."""
    p, H, _ = B.shape
    grad_A_bar, grad_B_bar, grad_rows = grads
    grad_B, grad_C = torch.empty_like(B), B.new_empty(H, grad_rows.shape[1] // 2, 2)
    small = [B.new_empty(p) for _ in range(3)]
    of_results = grad_A_bar, grad_B_bar.view(2, p, H), grad_rows.view(H, -1, 2, p)
    _backward(rule == "zoh", gain, *arrays(*states, B, *of_results, *small, grad_B, grad_C))
    return *small, grad_B, grad_C


@inline
def _rule(zoh, Lambda, dt):
    """A_bar and g; their derivatives in Lambda, then in dt."""
    if zoh:
        a, inverse = np.exp(Lambda * dt), _reciprocal(Lambda)
        g = _expm1(Lambda * dt) * inverse
        return a, g, dt * a, (dt * a - g) * inverse, Lambda * a, a
    b = _reciprocal(1 - Lambda * dt / 2)
    return b * (1 + Lambda * dt / 2), b * dt, dt * b * b, dt * dt / 2 * b * b, Lambda * b * b, b * b


@inline
def _reciprocal(z):
    """1 / z, and not a number where z is zero; Numba's division would raise an error there."""
    size = z.real * z.real + z.imag * z.imag
    return complex(z.real / size, -z.imag / size)


@inline
def _expm1(z):
    """e^z - 1 without cancellation near z = 0."""
    growth, half = np.expm1(z.real), np.sin(z.imag / 2)
    return complex(growth * np.cos(z.imag) - 2 * half * half, (growth + 1) * np.sin(z.imag))


@parallel
def _forward(zoh, gain, Lambda_re, Lambda_im, dt, B, C, A_bar, B_bar, rows):
    p = len(dt)
    for n in numba.prange(p):
        a, g, _, _, _, _ = _rule(zoh, complex(np.float64(Lambda_re[n]), np.float64(Lambda_im[n])), np.float64(dt[n]))
        A_bar[0, n], A_bar[1, n] = a.real, a.imag
        _weigh(B.dtype.type(g.real), B.dtype.type(g.imag), B[n], B_bar[0, n], B_bar[1, n])
    for h in numba.prange(len(C)):
        for d in range(rows.shape[1]):
            for n in range(p):
                rows[h, d, 0, n] = gain * C[h, d * p + n, 0]
                rows[h, d, 1, n] = -gain * C[h, d * p + n, 1]


@inline
def _weigh(re, im, b, out_re, out_im):
    """g b for the row b of one state."""
    for h in range(len(b)):
        out_re[h] = re * b[h, 0] - im * b[h, 1]
        out_im[h] = re * b[h, 1] + im * b[h, 0]


@parallel
def _backward(
    zoh, gain, Lambda_re, Lambda_im, dt, B, grad_A_bar, grad_B_bar, grad_rows, grad_re, grad_im, grad_dt, grad_B, grad_C
):
    p = len(dt)
    for n in numba.prange(p):
        Lambda, step = complex(np.float64(Lambda_re[n]), np.float64(Lambda_im[n])), np.float64(dt[n])
        _, g, a_Lambda, g_Lambda, a_dt, g_dt = _rule(zoh, Lambda, step)
        to_a = complex(np.float64(grad_A_bar[0, n]), np.float64(grad_A_bar[1, n]))
        to_g = _weigh_backward(g, B[n], grad_B_bar[0, n], grad_B_bar[1, n], grad_B[n])
        to_Lambda = np.conj(a_Lambda) * to_a + np.conj(g_Lambda) * to_g
        grad_re[n], grad_im[n] = to_Lambda.real, to_Lambda.imag
        grad_dt[n] = (np.conj(a_dt) * to_a + np.conj(g_dt) * to_g).real
    for h in numba.prange(len(grad_C)):
        for d in range(grad_rows.shape[1]):
            for n in range(p):
                grad_C[h, d * p + n, 0] = gain * grad_rows[h, d, 0, n]
                grad_C[h, d * p + n, 1] = -gain * grad_rows[h, d, 1, n]


@inline
def _weigh_backward(g, b, grad_re, grad_im, grad_b):
    """The gradient of g, after writing that of b."""
    re, im = b.dtype.type(g.real), b.dtype.type(g.imag)
    total_re = total_im = b.dtype.type(0)
    for h in range(len(b)):
        x, y = grad_re[h], grad_im[h]
        grad_b[h, 0], grad_b[h, 1] = re * x + im * y, re * y - im * x
        total_re += b[h, 0] * x + b[h, 1] * y
        total_im += b[h, 0] * y - b[h, 1] * x
    return complex(np.float64(total_re), np.float64(total_im))
