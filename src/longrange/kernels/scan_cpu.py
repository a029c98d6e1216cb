"""The linear recurrence on the CPU: one sequential pass in Numba, state innermost, forward and backward.

A task is one sequence and one direction, in the backward pass both directions. It walks along time through whole rows
of states, which is how they lie in memory; the state is cut among tasks only where there are fewer of these than
threads. A row is handled in vector registers, its last states, fewer than a register holds, in walks of their own. A
step reads the state before it from the output: nothing is stored twice. Only where inputs and outputs are bfloat16 is
the state kept beside them, in the precision of A_bar.
"""

import numba
import torch
from numba.extending import overload
from torch import Tensor

from longrange.kernels.lanes import LANES, put, some_lanes
from longrange.kernels.numba_tools import arrays, inline, parallel, sequential

WIDE = (0,) * LANES  # as a tuple of N numbers stands for N states: one register
HALF, _4, _2, _1 = WIDE[:8], WIDE[:4], WIDE[:2], WIDE[:1]


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
    adjoint = A_bar.new_zeros(batch, directions, 2, size)
    grad_A = A_bar.new_zeros(batch, 2, size)
    _backward(*arrays(A_bar, x, initial.to(x.dtype), grad_x, grad_Bu, adjoint, grad_A), _parts(batch, size))
    return grad_A.sum(0), grad_Bu, _conjugate_product(A_bar, adjoint)


def _conjugate_product(a: Tensor, s: Tensor) -> Tensor:
    """conj(a) s for a (2, P) and s (..., 2, P): from the first step's adjoint to that of the state before it."""
    re, im = s.unbind(-2)
    return torch.stack([a[0] * re + a[1] * im, a[0] * im - a[1] * re], dim=-2)


def _parts(tasks: int, size: int) -> int:
    """How many tasks share a row of states."""
    return max(1, min(-(-torch.get_num_threads() // max(1, tasks)), size // LANES))


@inline
def over_registers(function, size, part, parts, arguments):
    """Calls `function` for the states of a part of a row: its whole registers, then the last states, if its own."""
    low, high = part * (size // LANES) // parts * LANES, (part + 1) * (size // LANES) // parts * LANES
    if low < high:
        function(WIDE, low, high, *arguments)
    if part == parts - 1:
        low = size // LANES * LANES
        if size & 8:
            function(HALF, low, low + 8, *arguments)
            low += 8
        if size & 4:
            function(_4, low, low + 4, *arguments)
            low += 4
        if size & 2:
            function(_2, low, low + 2, *arguments)
            low += 2
        if size & 1:
            function(_1, low, low + 1, *arguments)


@parallel
def _forward(a, b, state, x, parts):
    batch, _, directions, _, size = x.shape
    for task in numba.prange(batch * directions * parts):
        i, d = task // parts // directions, task // parts % directions
        over_registers(walk, size, task % parts, parts, (a, b[i], state[i, d], x[i], d))


@sequential
def walk(axes, low, high, a, b, state, x, d):
    """x = a x + b along one direction of one sequence, for the states from `low` to `high`, a register at a time."""
    length, directions, _, size = x.shape
    poles, inputs, states, kept = a.reshape(-1), b.reshape(-1), x.reshape(-1), state.reshape(-1)
    before, at = kept, 0
    for k in range(length):
        step = k if d == 0 else length - 1 - k
        source, to = step * 2 * size, (step * directions + d) * 2 * size
        for n in range(low, high, len(axes)):
            re, im = _advance(axes, poles, n, before, at + n, inputs, source + n, size)
            put(states, to + n, re)
            put(states, to + n + size, im)
            _keep(states, kept, n, re)
            _keep(states, kept, n + size, im)
        before, at = _latest(states, to, kept)


@inline
def _advance(axes, a, n, x, x_at, b, b_at, size):
    """a x + b on one register of states; all are flat, imaginary parts `size` after the real ones."""
    a_re, a_im = some_lanes(a, n, axes), some_lanes(a, n + size, axes)
    re, im = some_lanes(x, x_at, axes), some_lanes(x, x_at + size, axes)
    b_re, b_im = some_lanes(b, b_at, axes), some_lanes(b, b_at + size, axes)
    return a_re * re - a_im * im + b_re, a_re * im + a_im * re + b_im


def _keep(states, kept, at, value):
    """Write to `kept` what `states` has in a lower precision only."""


@overload(_keep, inline="always")
def _keep_of_types(states, kept, at, value):
    if states.dtype == kept.dtype:
        return lambda states, kept, at, value: None
    return lambda states, kept, at, value: put(kept, at, value)


def _latest(states, at, kept):
    """Where the state is that was last written to `states`, and from which index on."""


@overload(_latest, inline="always")
def _latest_of_types(states, at, kept):
    if states.dtype == kept.dtype:
        return lambda states, at, kept: (states, at)
    return lambda states, at, kept: (kept, 0)


@parallel
def _backward(a, x, initial, grad_x, grad_b, adjoint, grad_a, parts):
    batch, _, _, _, size = x.shape
    for task in numba.prange(batch * parts):
        i = task // parts
        arguments = a, x[i], initial[i], grad_x[i], grad_b[i], adjoint[i], grad_a[i]
        over_registers(walk_back, size, task % parts, parts, arguments)


@sequential
def walk_back(axes, low, high, a, x, initial, grad_x, grad_b, adjoint, grad_a):
    """Gradients of `walk` in both directions, one after the other; the second adds to what it finds in grad_b."""
    length, directions, _, size = x.shape
    poles, states, grads, out, total = (
        a.reshape(-1),
        x.reshape(-1),
        grad_x.reshape(-1),
        grad_b.reshape(-1),
        grad_a.reshape(-1),
    )
    for d in range(directions):
        s, first = adjoint[d].reshape(-1), initial[d].reshape(-1)
        for k in range(length):
            step, earlier = (length - 1 - k, length - 2 - k) if d == 0 else (k, k + 1)
            row, to = (step * directions + d) * 2 * size, step * 2 * size
            before, at = (states, (earlier * directions + d) * 2 * size) if k < length - 1 else (first, 0)
            for n in range(low, high, len(axes)):
                re, im = _retreat(axes, poles, n, grads, row + n, s, size)
                _correlate(axes, re, im, before, at + n, total, n, size)
                _deliver(axes, re, im, out, to + n, d == 1, size)


@sequential
def drain(axes, low, high, a, inputs, state, d, ascending):
    """x = a x + input along one direction of one sequence, of which the last state alone is kept."""
    length, directions, _, size = inputs.shape
    poles, rows, x = a.reshape(-1), inputs.reshape(-1), state.reshape(-1)
    for k in range(length):
        row = ((k if ascending else length - 1 - k) * directions + d) * 2 * size
        for n in range(low, high, len(axes)):
            re, im = _advance(axes, poles, n, x, n, rows, row + n, size)
            put(x, n, re)
            put(x, n + size, im)


@inline
def _retreat(axes, a, n, grad, grad_at, s, size):
    """s = grad + conj(a) s on one register of states, real and imaginary parts of which are returned too."""
    a_re, a_im = some_lanes(a, n, axes), some_lanes(a, n + size, axes)
    s_re, s_im = some_lanes(s, n, axes), some_lanes(s, n + size, axes)
    re = some_lanes(grad, grad_at, axes) + a_re * s_re + a_im * s_im
    im = some_lanes(grad, grad_at + size, axes) + a_re * s_im - a_im * s_re
    put(s, n, re)
    put(s, n + size, im)
    return re, im


@inline
def _correlate(axes, re, im, x, x_at, total, n, size):
    """total += s conj(x) on one register of states, s = re + i im."""
    x_re, x_im = some_lanes(x, x_at, axes), some_lanes(x, x_at + size, axes)
    put(total, n, some_lanes(total, n, axes) + re * x_re + im * x_im)
    put(total, n + size, some_lanes(total, n + size, axes) + im * x_re - re * x_im)


@inline
def _deliver(axes, re, im, out, at, add, size):
    """out = re + i im on one register of states, or += where `add`."""
    if add:
        re, im = re + some_lanes(out, at, axes), im + some_lanes(out, at + size, axes)
    put(out, at, re)
    put(out, at + size, im)
