"""The recurrence of small dense systems from truncated output rows on the CPU, in Numba: a slice of features at a time.

With X = (I - dt/2 A)^-1 and Y = (I - A_bar^L)^-1: A_bar = 2 X - I, B_bar = dt X B, C = C_tilde Y. All in double
precision; X and Y are kept for the backward pass. The gradient of a power sums over the places of a factor, with T the
transpose F_L(G) = sum_i T^i G T^(L-1-i), and doubles as the power does: F_2n(G) = F_n(G) T^n + T^n F_n(G).

An entry of a matrix is the vector register of its values in LANES features. The last feature stands in for those that
the last slice lacks.
"""

import numba
import numpy as np
from torch import Tensor

from longrange.kernels.numba_tools import arrays, internal, parallel
from longrange.kernels.vectors import LANES, load_vector, store_vector, zero_vector


def system_forward(
    A: Tensor, B: Tensor, C_tilde: Tensor, dt: Tensor, L: int
) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """See `truncated_system`; then X and Y, in slices, (ceil(H / LANES), N N LANES) each."""
    (H, N), slices = B.shape, -(-len(B) // LANES)
    kept = A.new_empty(slices, N * N * LANES), A.new_empty(slices, N * N * LANES)
    A_bar, B_bar, C = B.new_empty(H, N * N), B.new_empty(B.shape), B.new_empty(C_tilde.shape)
    _forward(L, *arrays(A.flatten(1), B, C_tilde, dt.unsqueeze(1), *kept, A_bar, B_bar, C))
    return (A_bar.view(A.shape), B_bar, C), kept


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
    inputs, kept = (A.flatten(1), B, C_tilde, dt.unsqueeze(1)), (X, Y, grad_A_bar.flatten(1), grad_B_bar, grad_C)
    grads = [t.new_empty(t.shape) for t in inputs]
    _backward(L, *arrays(*inputs, *kept, *grads))
    grad_A, grad_B, grad_C_tilde, grad_dt = grads
    return grad_A.view(A.shape), grad_B, grad_C_tilde, grad_dt.squeeze(1)


@parallel
def _forward(L, A, B, C_tilde, dt, X, Y, A_bar, B_bar, C):
    for s in numba.prange(len(X)):
        _slice_forward(L, np.int64(s) * LANES, A, B, C_tilde, dt, X[s], Y[s], A_bar, B_bar, C)


@internal
def _slice_forward(L, low, A, B, C_tilde, dt, X, Y, A_bar, B_bar, C):
    N, one = B.shape[1], np.ones(LANES)
    a, transition, spare, power = np.empty_like(X), np.empty_like(X), np.empty_like(X), np.empty_like(X)
    b, row, out, step = np.empty(N * LANES), np.empty(N * LANES), np.empty(N * LANES), np.empty(LANES)
    _take(A, low, a)
    _take(B, low, b)
    _take(dt, low, step)
    _combine(N, one, -step / 2, a, X)
    _invert(N, one, X)
    _combine(N, -one, 2 * one, X, transition)
    _give(transition, low, A_bar)
    _combine(N, one, -one, _power(N, transition, L, power, spare), Y)
    _invert(N, one, Y)
    _apply(N, X, False, b, step, out)
    _give(out, low, B_bar)
    for m in range(len(C)):
        _take(C_tilde[m], low, row)
        _apply(N, Y, True, row, one, out)
        _give(out, low, C[m])


@parallel
def _backward(L, A, B, C_tilde, dt, X, Y, grad_A_bar, grad_B_bar, grad_C, grad_A, grad_B, grad_C_tilde, grad_dt):
    for s in numba.prange(len(X)):
        inputs, grads = (A, B, C_tilde, dt), (grad_A_bar, grad_B_bar, grad_C)
        results = grad_A, grad_B, grad_C_tilde, grad_dt
        _slice_backward(L, np.int64(s) * LANES, inputs, X[s], Y[s], grads, results)


@internal
def _slice_backward(L, low, inputs, X, Y, grads, results):
    (A, B, C_tilde, dt), (of_A_bar, of_B_bar, of_C), (grad_A, grad_B, grad_C_tilde, grad_dt) = inputs, grads, results
    N, one = B.shape[1], np.ones(LANES)
    a, transition, G, total = np.empty_like(X), np.empty_like(X), np.zeros_like(X), np.empty_like(X)
    b, row, out, step = np.empty(N * LANES), np.empty(N * LANES), np.empty(N * LANES), np.empty(LANES)
    for m in range(len(C_tilde)):
        _take(C_tilde[m], low, row)
        _take(of_C[m], low, out)
        _add_outer(N, one, row, out, G)
        _apply(N, Y, False, out, one, row)
        _give(row, low, grad_C_tilde[m])
    _combine(N, -one, 2 * one, X, transition)
    _inverse_backward(N, Y, G, total)
    total = _power_backward(N, transition, L, total)
    _take(of_A_bar, low, G)
    _scaled_sum(2 * one, G, total)
    _take(A, low, a)
    _take(B, low, b)
    _take(dt, low, step)
    _take(of_B_bar, low, row)
    _add_outer(N, step, row, b, total)
    _inverse_backward(N, X, total, G)
    _apply(N, X, True, row, step, out)
    _give(out, low, grad_B)
    _apply(N, X, False, b, one, out)
    _give(_dot(row, out, one) + _dot(G, a, one / 2), low, grad_dt)
    _combine(N, 0 * one, step / 2, G, total)
    _give(total, low, grad_A)


@internal
def _take(x, low, out):
    """A slice of (H, E) as E registers."""
    for k in range(LANES):
        h = min(low + k, len(x) - 1)
        for e in range(x.shape[1]):
            out[e * LANES + k] = x[h, e]


@internal
def _give(registers, low, out):
    """The reverse of `_take`."""
    for k in range(min(LANES, len(out) - low)):
        for e in range(out.shape[1]):
            out[low + k, e] = registers[e * LANES + k]


@internal
def _combine(N, diagonal, factor, a, out):
    """diagonal I + factor a, in `out`, which may be a."""
    for i in range(N):
        for j in range(N):
            at = (i * N + j) * LANES
            entry = load_vector(factor, 0) * load_vector(a, at)
            store_vector(out, at, entry + load_vector(diagonal, 0) if i == j else entry)


@internal
def _scaled_sum(factor, a, out):
    """factor (a + out), in `out`."""
    for at in range(0, len(a), LANES):
        store_vector(out, at, load_vector(factor, 0) * (load_vector(a, at) + load_vector(out, at)))


@internal
def _invert(N, one, x):
    """x by its inverse, without exchange of rows: see `longrange.ssm.dense.inverse`."""
    for c in range(N):
        scale = load_vector(one, 0) / load_vector(x, (c * N + c) * LANES)
        store_vector(x, (c * N + c) * LANES, load_vector(one, 0))
        for j in range(N):
            store_vector(x, (c * N + j) * LANES, load_vector(x, (c * N + j) * LANES) * scale)
        for i in range(N):
            if i != c:
                factor = load_vector(x, (i * N + c) * LANES)
                store_vector(x, (i * N + c) * LANES, zero_vector(x))
                for j in range(N):
                    at = (i * N + j) * LANES
                    store_vector(x, at, load_vector(x, at) - factor * load_vector(x, (c * N + j) * LANES))


@internal
def _inverse_backward(N, x, grad, out):
    """x^T grad x^T: minus the gradient of what x is the inverse of."""
    spare = np.empty_like(x)
    _product(N, grad, False, x, True, spare, False)
    _product(N, x, True, spare, False, out, False)


@internal
def _power(N, a, L, power, spare):
    """a^L, digit by binary digit of L, in one of two memories."""
    power[:] = a
    for k in range(_digits(L) - 2, -1, -1):
        _product(N, power, False, power, False, spare, False)
        power, spare = spare, power
        if L >> k & 1:
            _product(N, power, False, a, False, spare, False)
            power, spare = spare, power
    return power


@internal
def _power_backward(N, a, L, grad):
    """The gradient of a from that of a^L."""
    power, total, spare, other = np.empty_like(a), grad.copy(), np.empty_like(a), np.empty_like(a)
    for i in range(N):
        for j in range(N):
            store_vector(power, (i * N + j) * LANES, load_vector(a, (j * N + i) * LANES))
    for k in range(_digits(L) - 2, -1, -1):
        _product(N, total, False, power, False, spare, False)
        _product(N, power, False, total, False, spare, True)
        _product(N, power, False, power, False, other, False)
        total, spare, power, other = spare, total, other, power
        if L >> k & 1:
            _product(N, total, False, a, True, spare, False)
            _product(N, power, False, grad, False, spare, True)
            _product(N, power, False, a, True, other, False)
            total, spare, power, other = spare, total, other, power
    return total


@internal
def _digits(L):
    """Binary digits of L."""
    count = 0
    while L >> count:
        count += 1
    return count


@internal
def _product(N, a, a_turned, b, b_turned, out, add):
    """a b, each transposed or not, in `out` or added to it."""
    a_row, a_column = (1, N) if a_turned else (N, 1)
    b_row, b_column = (1, N) if b_turned else (N, 1)
    for i in range(N):
        for j in range(N):
            at = (i * N + j) * LANES
            total = load_vector(out, at) if add else zero_vector(out)
            for k in range(N):
                left, right = (i * a_row + k * a_column) * LANES, (k * b_row + j * b_column) * LANES
                total = total + load_vector(a, left) * load_vector(b, right)
            store_vector(out, at, total)


@internal
def _apply(N, a, turned, x, factor, out):
    """factor a x, or with a^T."""
    row, column = (1, N) if turned else (N, 1)
    for i in range(N):
        total = zero_vector(out)
        for j in range(N):
            total = total + load_vector(a, (i * row + j * column) * LANES) * load_vector(x, j * LANES)
        store_vector(out, i * LANES, load_vector(factor, 0) * total)


@internal
def _add_outer(N, factor, x, y, out):
    """out += factor x y^T."""
    for i in range(N):
        now = load_vector(factor, 0) * load_vector(x, i * LANES)
        for j in range(N):
            at = (i * N + j) * LANES
            store_vector(out, at, load_vector(out, at) + now * load_vector(y, j * LANES))


@internal
def _dot(x, y, factor):
    """factor times the inner product, in each feature."""
    out = np.empty(LANES)
    total = zero_vector(x)
    for at in range(0, len(x), LANES):
        total = total + load_vector(x, at) * load_vector(y, at)
    store_vector(out, 0, load_vector(factor, 0) * total)
    return out
