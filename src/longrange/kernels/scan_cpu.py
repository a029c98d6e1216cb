"""The linear recurrence on the CPU: one sequential pass in Numba, state innermost, forward and backward.

A task is one sequence and one direction, in the backward pass both directions. It passes along time through rows of
states, which is how they lie in memory, a tile of steps after the other; the state is cut among tasks only where there
are fewer of these than threads. Within a tile, a vector register of states goes through all steps together with its
poles and its sums; the last states of a row, fewer than a register holds, go on their own.
"""

import numba
import torch
from torch import Tensor

from longrange.kernels.numba_tools import arrays, inline, parallel, sequential
from longrange.kernels.vectors import LANES, load_values, store_vector

WIDE = (0,) * LANES  # as a tuple of N numbers stands for N states: one register
HALF, _4, _2, _1 = WIDE[:8], WIDE[:4], WIDE[:2], WIDE[:1]
_TILE = 64  # steps


def scan_forward(A_bar: Tensor, Bu: Tensor, initial: Tensor, bidirectional: bool) -> Tensor:
    """As `diagonal_scan_reference`, without gradients."""
    batch, length, _, size = Bu.shape
    x = Bu.new_empty(batch, length, 2 if bidirectional else 1, 2, size)
    _forward(*arrays(A_bar, Bu, initial.clone(), x), _parts(batch * x.shape[2], size))
    return x


def scan_backward(A_bar: Tensor, x: Tensor, initial: Tensor, grad_x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `scan_forward`.

    Args:
        A_bar: (2, P).
        x: (B, L, D, 2, P) states of the forward pass.
        initial: (B, D, 2, P).
        grad_x: (B, L, D, 2, P).
    Returns:
        Gradients of A_bar (2, P), Bu (B, L, 2, P) and initial (B, D, 2, P).
    """
    batch, length, directions, _, size = x.shape
    grad_Bu = x.new_empty(batch, length, 2, size)
    adjoint = A_bar.new_zeros(batch, directions, 2, size)  # of each direction's first step, in the end
    grad_A = A_bar.new_zeros(batch, 2, size)
    _backward(*arrays(A_bar, x, grad_x, grad_Bu, adjoint, grad_A), _parts(batch, size))
    of_initial = _conjugate_product(initial.to(A_bar.dtype), adjoint).sum(1)
    return (grad_A + of_initial).sum(0), grad_Bu, _conjugate_product(A_bar, adjoint)


def _conjugate_product(a: Tensor, s: Tensor) -> Tensor:
    """conj(a) s, both (..., 2, P)."""
    (a_re, a_im), (s_re, s_im) = a.unbind(-2), s.unbind(-2)
    return torch.stack([a_re * s_re + a_im * s_im, a_re * s_im - a_im * s_re], dim=-2)


def _parts(tasks: int, size: int) -> int:
    """How many tasks share a row of states."""
    return max(1, min(-(-torch.get_num_threads() // max(1, tasks)), size // LANES))


@inline
def _over_states(function, low, high, arguments):
    """Calls `function` for the states from `low` to `high`, by registers, and for the last ones on their own."""
    whole = high - (high - low) % LANES
    if low < whole:
        function(WIDE, low, whole, *arguments)
    if (high - whole) & 8:
        function(HALF, whole, whole + 8, *arguments)
        whole += 8
    if (high - whole) & 4:
        function(_4, whole, whole + 4, *arguments)
        whole += 4
    if (high - whole) & 2:
        function(_2, whole, whole + 2, *arguments)
        whole += 2
    if (high - whole) & 1:
        function(_1, whole, high, *arguments)


@inline
def _share(size, part, parts):
    """The states of a part of a row: from which to which."""
    low, high = part * (size // LANES) // parts * LANES, (part + 1) * (size // LANES) // parts * LANES
    return low, size if part == parts - 1 else high


@inline
def _tile(k, length, ascending):
    """The steps of the tile that comes as number k."""
    start = k * _TILE if ascending else (length - 1) // _TILE * _TILE - k * _TILE
    return slice(start, min(start + _TILE, length))


@parallel
def _forward(a, b, state, x, parts):
    batch, length, directions, _, size = x.shape
    for task in numba.prange(batch * directions * parts):
        i, d = task // parts // directions, task // parts % directions
        low, high = _share(size, task % parts, parts)
        for k in range((length + _TILE - 1) // _TILE):
            steps = _tile(k, length, d == 0)
            _over_states(scan, low, high, (a, b[i, steps], state[i, d], x[i, steps], d))


@parallel
def _backward(a, x, grad_x, grad_b, adjoint, grad_a, parts):
    batch, length, directions, _, size = x.shape
    for task in numba.prange(batch * parts):
        i = task // parts
        low, high = _share(size, task % parts, parts)
        for d in range(directions):
            for k in range((length + _TILE - 1) // _TILE):
                steps = _tile(k, length, d == 1)
                tile = x[i, steps], grad_x[i, steps], grad_b[i, steps]
                _over_states(scan_back, low, high, (a, *tile, adjoint[i, d], grad_a[i], d))


@sequential
def scan(width, low, high, a, b, state, x, d):
    """x = a x + b along one direction of some steps, from `state`, which becomes the last one."""
    length, directions, _, size = x.shape
    poles, inputs, states, at_end = a.reshape(-1), b.reshape(-1), x.reshape(-1), state.reshape(-1)
    for n in range(low, high, len(width)):
        pole, now = _read(poles, n, size, width), _read(at_end, n, size, width)
        for k in range(length):
            step = k if d == 0 else length - 1 - k
            now = _next(pole, now, _read(inputs, step * 2 * size + n, size, width))
            _write(states, (step * directions + d) * 2 * size + n, size, now)
        _write(at_end, n, size, now)


@sequential
def last_state(width, low, high, a, b, state, d, ascending):
    """As `scan`, of inputs in several directions and in either order, of which the last state alone is kept."""
    length, directions, _, size = b.shape
    poles, inputs, at_end = a.reshape(-1), b.reshape(-1), state.reshape(-1)
    for n in range(low, high, len(width)):
        pole, now = _read(poles, n, size, width), _read(at_end, n, size, width)
        for k in range(length):
            step = k if ascending else length - 1 - k
            now = _next(pole, now, _read(inputs, (step * directions + d) * 2 * size + n, size, width))
        _write(at_end, n, size, now)


@sequential
def scan_back(width, low, high, a, x, grad_x, grad_b, adjoint, grad_a, d):
    """Gradients of `scan`, of which the second direction adds to what it finds in grad_b.

    From the adjoint of the step after these, which becomes that of the first: the product of the latter and the state
    before it is what grad_a still lacks.
    """
    length, directions, _, size = x.shape
    poles, states, grads, out = a.reshape(-1), x.reshape(-1), grad_x.reshape(-1), grad_b.reshape(-1)
    at_end, of_pole = adjoint.reshape(-1), grad_a.reshape(-1)
    for n in range(low, high, len(width)):
        pole, s, total = _read(poles, n, size, width), _read(at_end, n, size, width), _read(of_pole, n, size, width)
        for k in range(length):
            step = length - 1 - k if d == 0 else k
            row, to = (step * directions + d) * 2 * size + n, step * 2 * size + n
            total = _add_correlation(total, s, _read(states, row, size, width))
            s = _previous(pole, s, _read(grads, row, size, width))
            _write(out, to, size, _sum(s, _read(out, to, size, width)) if d == 1 else s)
        _write(at_end, n, size, s)
        _write(of_pole, n, size, total)


@inline
def _read(array, at, size, width):
    """Real and imaginary parts of as many states as `width` has members; these lie `size` apart."""
    return load_values(array, at, width), load_values(array, at + size, width)


@inline
def _write(array, at, size, z):
    store_vector(array, at, z[0])
    store_vector(array, at + size, z[1])


@inline
def _next(a, x, b):
    """a x + b."""
    return b[0] + a[0] * x[0] - a[1] * x[1], b[1] + a[0] * x[1] + a[1] * x[0]


@inline
def _previous(a, s, grad):
    """grad + conj(a) s."""
    return grad[0] + a[0] * s[0] + a[1] * s[1], grad[1] + a[0] * s[1] - a[1] * s[0]


@inline
def _add_correlation(total, s, x):
    """total + s conj(x)."""
    return total[0] + s[0] * x[0] + s[1] * x[1], total[1] + s[1] * x[0] - s[0] * x[1]


@inline
def _sum(a, b):
    return a[0] + b[0], a[1] + b[1]
