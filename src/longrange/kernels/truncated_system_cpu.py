"""The recurrence of small dense systems from truncated output rows on the CPU, in Numba: one feature after another.

With X = (I - dt/2 A)^-1 and Y = (I - A_bar^L)^-1: A_bar = 2 X - I, B_bar = dt X B, C = C_tilde Y. All in double
precision; X and Y are kept for the backward pass. The gradient of a power sums over the places of a factor, with T the
transpose F_L(G) = sum_i T^i G T^(L-1-i), and doubles as the power does: F_2n(G) = F_n(G) T^n + T^n F_n(G).
"""

import numba
import numpy as np
from torch import Tensor

from longrange.kernels.numba_tools import arrays, parallel, part


def system_forward(
    A: Tensor, B: Tensor, C_tilde: Tensor, dt: Tensor, L: int
) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """See `truncated_system`; then X and Y, (H, N, N) each."""
    kept = A.new_empty(A.shape), A.new_empty(A.shape)
    outputs = B.new_empty(A.shape), B.new_empty(B.shape), B.new_empty(C_tilde.shape)
    _forward(L, *arrays(A, B, C_tilde, dt, *kept, *outputs))
    return outputs, kept


def system_backward(
    A: Tensor,
    B: Tensor,
    C_tilde: Tensor,
    dt: Tensor,
    X: Tensor,
    Y: Tensor,
    L: int,
    grad_A_bar: Tensor,
    grad_B_bar: Tensor,
    grad_C: Tensor,
) -> tuple[Tensor, ...]:
    """Gradients in A, B, C_tilde and dt."""
    grads = A.new_empty(A.shape), B.new_empty(B.shape), C_tilde.new_empty(C_tilde.shape), dt.new_empty(dt.shape)
    _backward(L, *arrays(A, B, C_tilde, dt, X, Y, grad_A_bar, grad_B_bar, grad_C, *grads))
    return grads


@parallel
def _forward(L, A, B, C_tilde, dt, X, Y, A_bar, B_bar, C):
    for h in numba.prange(len(B)):
        step, transition = np.float64(dt[h]), np.empty(A.shape[1:])
        _invert(_combined(1.0, -step / 2, A[h], X[h]))
        A_bar[h] = _combined(-1.0, 2.0, X[h], transition)
        _invert(_combined(1.0, -1.0, _power(transition, L), Y[h]))
        for i in range(B.shape[1]):
            B_bar[h, i] = step * _dot(X[h, i], B[h])
            for m in range(len(C)):
                C[m, h, i] = _dot(Y[h, :, i], C_tilde[m, h])


@parallel
def _backward(L, A, B, C_tilde, dt, X, Y, grad_A_bar, grad_B_bar, grad_C, grad_A, grad_B, grad_C_tilde, grad_dt):
    for h in numba.prange(len(B)):
        step, G, transition = np.float64(dt[h]), np.zeros(A.shape[1:]), np.empty(A.shape[1:])
        for m in range(len(grad_C)):
            _add_outer(1.0, C_tilde[m, h], grad_C[m, h], G)
        G = _power_backward(_combined(-1.0, 2.0, X[h], transition), L, _inverse_backward(Y[h], G))
        _combined(0.0, 2.0, G + grad_A_bar[h], G)
        _add_outer(step, grad_B_bar[h], B[h], G)
        G = _inverse_backward(X[h], G)
        _combined(0.0, step / 2, G, grad_A[h])
        along = 0.0
        for i in range(B.shape[1]):
            along += grad_B_bar[h, i] * _dot(X[h, i], B[h]) + _dot(G[i], A[h, i]) / 2
            grad_B[h, i] = step * _dot(X[h, :, i], grad_B_bar[h])
            for m in range(len(grad_C)):
                grad_C_tilde[m, h, i] = _dot(Y[h, i], grad_C[m, h])
        grad_dt[h] = along


@part
def _combined(one, factor, a, out):
    """one I + factor a, in `out`, which may be a."""
    for i in range(len(a)):
        for j in range(len(a)):
            out[i, j] = factor * a[i, j] + (one if i == j else 0.0)
    return out


@part
def _invert(x):
    """x by its inverse, without exchange of rows: see `longrange.ssm.dense.inverse`."""
    for c in range(len(x)):
        scale = 1 / x[c, c]
        x[c, c] = 1.0
        for j in range(len(x)):
            x[c, j] *= scale
        for i in range(len(x)):
            if i != c:
                factor, x[i, c] = x[i, c], 0.0
                for j in range(len(x)):
                    x[i, j] -= factor * x[c, j]


@part
def _inverse_backward(x, grad):
    """x^T grad x^T: minus the gradient of what x is the inverse of."""
    return _product(x.T, _product(grad, x.T))


@part
def _power(a, L):
    """a^L, digit by binary digit of L."""
    power = a.copy()
    for k in range(_digits(L) - 2, -1, -1):
        power = _product(power, power)
        if L >> k & 1:
            power = _product(power, a)
    return power


@part
def _power_backward(a, L, grad):
    """The gradient of a from that of a^L."""
    power, total = a.T.copy(), grad
    for k in range(_digits(L) - 2, -1, -1):
        total = _product(total, power) + _product(power, total)
        power = _product(power, power)
        if L >> k & 1:
            total = _product(total, a.T) + _product(power, grad)
            power = _product(power, a.T)
    return total


@part
def _digits(L):
    """Binary digits of L."""
    count = 0
    while L >> count:
        count += 1
    return count


@part
def _product(a, b):
    out = np.zeros(a.shape)
    for i in range(len(a)):
        for k in range(len(a)):
            for j in range(len(a)):
                out[i, j] += a[i, k] * b[k, j]
    return out


@part
def _add_outer(factor, a, b, out):
    """out += factor a b^T."""
    for i in range(len(a)):
        for j in range(len(b)):
            out[i, j] += factor * a[i] * b[j]


@part
def _dot(a, b):
    """Of a in double precision with b."""
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total
