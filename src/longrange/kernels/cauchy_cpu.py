"""The Cauchy sums on the CPU in Numba: the terms are never stored, the backward pass computes them again.

A pole a + ib and its conjugate together, with weight v and at z = iy, are

    2 (z p - s) q,  p = Re v,  s = Re(v conj(a + ib)),  1/q = (z - a - ib)(z - a + ib) = a^2 + (b - y)(b + y) - 2iay,

so one complex reciprocal serves all J sums, with four multiply-adds each. The factors b - y and b + y are exact to
rounding where y is near the resonance b, which the difference of the squares is not.
"""

import numba
import numpy as np
import torch
from torch import Tensor

from longrange.kernels.numba_tools import arrays, inline, parallel

_TILE = 256  # points at a time: what is kept of them for one pole and one sum stays in the first-level cache


def cauchy_forward(v: Tensor, Lambda: Tensor, y: Tensor) -> Tensor:
    """As `cauchy_reference`, without gradients."""
    J, _, H, _ = v.shape
    out = v.new_zeros(J, 2, H, len(y))
    _forward(*arrays(numerators(v, Lambda), Lambda, y, out), _TILE)
    return out


def cauchy_backward(v: Tensor, Lambda: Tensor, y: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `cauchy_forward`.

    Args:
        v: (J, 2, H, N).
        Lambda: (2, H, N).
        y: (K,).
        grad: (J, 2, H, K).
    Returns:
        Gradients of v (J, 2, H, N) and Lambda (2, H, N).
    """
    grad_numerators, grad_Lambda = v.new_zeros(v.shape), Lambda.new_zeros(Lambda.shape)
    _backward(*arrays(numerators(v, Lambda), Lambda, y, grad, grad_numerators, grad_Lambda), _TILE)
    return pole_gradients(v, Lambda, grad_numerators, grad_Lambda)


def pole_gradients(v: Tensor, Lambda: Tensor, grad_numerators: Tensor, grad_Lambda: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients in v and Lambda from those in `numerators`, (J, 2, H, N), and in the poles of the reciprocals."""
    grad_p, grad_s = (2 * grad_numerators).unbind(1)
    grad_v = torch.stack([grad_p + Lambda[0] * grad_s, Lambda[1] * grad_s], dim=1)
    return grad_v, grad_Lambda + (v * grad_s.unsqueeze(1)).sum(0)


def numerators(v: Tensor, Lambda: Tensor) -> Tensor:
    """2p and 2s of every weight, (J, 2, H, N)."""
    return 2 * torch.stack([v[:, 0], v[:, 0] * Lambda[0] + v[:, 1] * Lambda[1]], dim=1)


@parallel
def _forward(weights, poles, y, out, width):
    J, _, H, N = weights.shape
    tiles = (len(y) + width - 1) // width
    for task in numba.prange(H * tiles):
        h, low = task // tiles, (task % tiles) * width
        part = y[low : low + width]
        high = low + len(part)
        q = np.empty((4, len(part)), y.dtype)
        for n in range(N):
            _reciprocals(poles[0, h, n], poles[1, h, n], part, q)
            for j in range(J):
                _add_pole(weights[j, 0, h, n], weights[j, 1, h, n], q, out[j, 0, h, low:high], out[j, 1, h, low:high])


@inline
def _reciprocals(a, b, y, q):
    """The rows of q: real and imaginary part of the reciprocal at every point, and both times y."""
    q_re, q_im, yq_re, yq_im = q[0], q[1], q[2], q[3]
    square, double, one = a * a, a + a, y.dtype.type(1)
    for k in range(len(y)):
        re, im = square + (b - y[k]) * (b + y[k]), double * y[k]
        inverse = one / (re * re + im * im)
        q_re[k], q_im[k] = inverse * re, inverse * im
        yq_re[k], yq_im[k] = y[k] * q_re[k], y[k] * q_im[k]


@inline
def _add_pole(p, s, q, out_re, out_im):
    """out += (iy p - s) q."""
    q_re, q_im, yq_re, yq_im = q[0], q[1], q[2], q[3]
    for k in range(len(q_re)):
        out_re[k] -= p * yq_im[k] + s * q_re[k]
        out_im[k] += p * yq_re[k] - s * q_im[k]


@parallel
def _backward(weights, poles, y, grad, grad_weights, grad_poles, width):
    J, _, H, N = weights.shape
    for h in numba.prange(H):
        for low in range(0, len(y), width):
            part = y[low : low + width]
            high = low + len(part)
            q, grad_q = np.empty((4, len(part)), y.dtype), np.empty((2, len(part)), y.dtype)
            for n in range(N):
                a, b = poles[0, h, n], poles[1, h, n]
                _reciprocals(a, b, part, q)
                grad_q[:] = 0
                for j in range(J):
                    p, s = weights[j, 0, h, n], weights[j, 1, h, n]
                    g_re, g_im = grad[j, 0, h, low:high], grad[j, 1, h, low:high]
                    grad_p, grad_s = _retreat(p, s, part, q, g_re, g_im, grad_q)
                    grad_weights[j, 0, h, n] += grad_p
                    grad_weights[j, 1, h, n] += grad_s
                grad_a, grad_b = _pull(a, b, part, q, grad_q)
                grad_poles[0, h, n] += grad_a
                grad_poles[1, h, n] += grad_b


@inline
def _retreat(p, s, y, q, g_re, g_im, grad_q):
    """Gradients of `_add_pole` in p and s; that in q is added to grad_q."""
    q_re, q_im, yq_re, yq_im = q[0], q[1], q[2], q[3]
    to_re, to_im = grad_q[0], grad_q[1]
    grad_p = grad_s = p - p
    for k in range(len(q_re)):
        grad_p += g_im[k] * yq_re[k] - g_re[k] * yq_im[k]
        grad_s -= g_re[k] * q_re[k] + g_im[k] * q_im[k]
        to_re[k] += p * y[k] * g_im[k] - s * g_re[k]
        to_im[k] -= p * y[k] * g_re[k] + s * g_im[k]
    return grad_p, grad_s


@inline
def _pull(a, b, y, q, grad_q):
    """Gradients in the pole a + ib from that in q at every point y."""
    q_re, q_im, g_re, g_im = q[0], q[1], grad_q[0], grad_q[1]
    real = imaginary = y[0] - y[0]
    for k in range(len(y)):
        re, im = q_re[k] * q_re[k] - q_im[k] * q_im[k], (q_re[k] + q_re[k]) * q_im[k]
        real -= g_re[k] * re + g_im[k] * im
        imaginary += y[k] * (g_re[k] * im - g_im[k] * re)
    return a * (real + real) - (imaginary + imaginary), b * (real + real)
