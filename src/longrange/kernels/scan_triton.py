"""The linear recurrence on a GPU, in Triton, forward and backward.

A lane is one thread's work: one state of one sequence in one chunk of time, walked step by step with the state in
registers. Lanes are numbered with the state innermost, so neighbouring threads read neighbouring addresses and none is
idle, whatever P is. One walk per sequence would be B P lanes, a few thousand where an H200 wants a quarter of a
million to hide the latency of its memory. So time is cut into about sqrt(L) chunks and the work done in three launches:

1. the state at the end of every chunk, as if the one before it, if any, had ended in zero; nothing else is written;
2. the same walk over those ends, with A_bar^T as the transition: the true state at the end of every chunk;
3. the walk proper, every chunk from its true start.

No launch takes more than about sqrt(L) dependent steps per direction; inputs are read twice, states written once. A
tree over time within a program would move as much memory and do several times the arithmetic. Both directions of one
chunk are neighbours in the launch order, so that the second finds the inputs in the cache. Sums are in a fixed order:
results repeat bit by bit.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from longrange.kernels.triton_tools import launch, load_pair, store_pair, times, times_conjugate

_BLOCK = 128  # lanes per program: four warps
_ONE_WALK = 64  # up to this length one launch is cheaper than three


def scan_forward(A_bar: Tensor, Bu: Tensor, initial: Tensor, bidirectional: bool) -> Tensor:
    """As `diagonal_scan_reference`, without gradients."""
    A_bar, Bu, initial = A_bar.contiguous(), Bu.contiguous(), initial.contiguous()
    batch, length, _, size = Bu.shape
    directions = 2 if bidirectional else 1
    T = _chunk_length(length)
    carries = _carries(A_bar, Bu, initial, T, SHARED=True) if length > T else initial
    x = Bu.new_empty(batch, length, directions, 2, size)
    _launch_walk(A_bar, Bu, initial, carries, x, T, SHARED=True)
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
    A_bar, x, initial, grad_x = (t.contiguous() for t in (A_bar, x, initial, grad_x))
    batch, length, directions, _, size = x.shape
    T = _chunk_length(length)
    chunks = triton.cdiv(length, T)
    carries = _carries(A_bar, grad_x, initial, T, ADJOINT=True) if chunks > 1 else initial
    grad_A, grad_Bu = x.new_empty(batch * chunks, 2, size), x.new_empty(batch, length, 2, size)
    grad_initial = torch.empty_like(initial)
    lanes = batch * chunks * size
    tensors = (A_bar, x, initial, grad_x, carries, grad_A, grad_Bu, grad_initial)
    grid = (triton.cdiv(lanes, _BLOCK),)
    launch(_backward, grid, *tensors, length, T, chunks, size, lanes, D=directions, BLOCK=_BLOCK)
    return grad_A.sum(0), grad_Bu, grad_initial


def _chunk_length(L: int) -> int:
    """T, a power of two near the square root of L, so that A_bar^T takes log2 T squarings; L itself where short."""
    return L if L <= _ONE_WALK else 2 ** round(math.log2(L) / 2)


def _carries(A_bar: Tensor, inputs: Tensor, initial: Tensor, T: int, **kind: bool) -> Tensor:
    """States at the end of every chunk of T steps, T a power of two: (B, chunks, D, 2, P); the rest as in `_walk`."""
    batch, length, size = inputs.shape[0], inputs.shape[1], inputs.shape[-1]
    ends = inputs.new_empty(batch, triton.cdiv(length, T), initial.shape[1], 2, size)
    _launch_walk(A_bar, inputs, initial, initial, ends, T, ENDS=True, **kind)
    true = torch.empty_like(ends)
    squarings = T.bit_length() - 1
    _launch_walk(A_bar, ends, initial, initial, true, ends.shape[1], ADJOINT="ADJOINT" in kind, SQUARINGS=squarings)
    return true


def _launch_walk(A_bar: Tensor, inputs: Tensor, initial: Tensor, carries: Tensor, out: Tensor, T: int, **kind) -> None:
    batch, length, size = inputs.shape[0], inputs.shape[1], inputs.shape[-1]
    directions, chunks = initial.shape[1], triton.cdiv(length, T)
    lanes = batch * chunks * size
    grid = (directions * triton.cdiv(lanes, _BLOCK),)
    flags = {"SHARED": False, "ADJOINT": False, "ENDS": False, "SQUARINGS": 0, **kind}
    tensors = (A_bar, inputs, initial, carries, out)
    launch(_walk, grid, *tensors, length, T, chunks, size, lanes, D=directions, BLOCK=_BLOCK, **flags)


@triton.jit
def _lanes(block, lanes, chunks, P, BLOCK: tl.constexpr):
    """Of every lane: whether it exists, its sequence (int64: offsets may pass 2^31), its chunk, its state."""
    lane = block * BLOCK + tl.arange(0, BLOCK)
    row = lane // P
    return lane < lanes, (row // chunks).to(tl.int64), row % chunks, lane % P


@triton.jit
def _walk(
    A_bar, inputs, initial, carries, out, L, T, chunks, P, lanes,
    D: tl.constexpr, SHARED: tl.constexpr, ADJOINT: tl.constexpr, ENDS: tl.constexpr, SQUARINGS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """x = a x + input over the steps of a chunk, a = A_bar^(2^SQUARINGS).

    SHARED: inputs are (B, L, 2, P), the same for all directions, and sequences start from `initial`; else they are
    (B, L, D, 2, P) and sequences start from zero. ADJOINT: a is conjugated, directions are reversed. ENDS: chunks but
    the first start from zero and the last state alone is written, to (B, chunks, D, 2, P); else they start from the
    neighbour's `carries`, of that shape, and all states are written, to (B, L, D, 2, P).
    """
    d = tl.program_id(0) % D
    valid, sequence, chunk, n = _lanes(tl.program_id(0) // D, lanes, chunks, P, BLOCK)
    a_re, a_im = load_pair(A_bar + n, P, valid)
    if ADJOINT:
        a_im = -a_im
        reverse = 1 - d
    else:
        reverse = d
    if SQUARINGS > 0:
        # In double precision: in single, every squaring would double the error.
        a_re, a_im = a_re.to(tl.float64), a_im.to(tl.float64)
        for _ in tl.static_range(SQUARINGS):
            a_re, a_im = times(a_re, a_im, a_re, a_im)
        a_re, a_im = a_re.to(A_bar.dtype.element_ty), a_im.to(A_bar.dtype.element_ty)
    sign = 1 - 2 * reverse
    length = tl.minimum(T, L - chunk * T)
    row = sequence * L + chunk * T + reverse * (length - 1)
    first = chunk == reverse * (chunks - 1)
    x_re, x_im = tl.zeros_like(a_re), tl.zeros_like(a_re)
    if SHARED:
        x_re, x_im = load_pair(initial + (sequence * D + d) * 2 * P + n, P, valid & first)
        source, stride = inputs + row * 2 * P + n, sign * 2 * P
    else:
        source, stride = inputs + (row * D + d) * 2 * P + n, sign * D * 2 * P
    ends = ((sequence * chunks + chunk) * D + d) * 2 * P + n
    if not ENDS:
        carry_re, carry_im = load_pair(carries + ends - sign * D * 2 * P, P, valid & ~first)
        x_re, x_im = x_re + carry_re, x_im + carry_im
    to = out + (row * D + d) * 2 * P + n
    b_re, b_im = load_pair(source, P, valid)
    for k in range(T):
        # The next step is on its way while this one is computed.
        source += stride
        next_re, next_im = load_pair(source, P, valid & (k + 1 < length))
        re, im = times(a_re, a_im, x_re, x_im)
        if ENDS:
            x_re, x_im = tl.where(k < length, re + b_re, x_re), tl.where(k < length, im + b_im, x_im)
        else:
            x_re, x_im = re + b_re, im + b_im
            store_pair(to, P, x_re, x_im, valid & (k < length))
            to += sign * D * 2 * P
        b_re, b_im = next_re, next_im
    if ENDS:
        store_pair(out + ends, P, x_re, x_im, valid)


@triton.jit
def _backward(
    A_bar, x, initial, grad, carries, grad_A, grad_Bu, grad_initial, L, T, chunks, P, lanes,
    D: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The adjoint s = grad + conj(a) s of both directions over the steps of a chunk, against time.

    grad_Bu is their sum. grad_A, (B chunks, 2, P), holds the sums over a chunk of s conj(x before).
    """
    valid, sequence, chunk, n = _lanes(tl.program_id(0), lanes, chunks, P, BLOCK)
    a_re, a_im = load_pair(A_bar + n, P, valid)
    sum_re, sum_im = tl.zeros_like(a_re), tl.zeros_like(a_re)
    length = tl.minimum(T, L - chunk * T)
    for d in tl.static_range(D):
        tl.debug_barrier()  # direction 1 adds to what direction 0 has written
        sign = 2 * d - 1
        step = chunk * T + (1 - d) * (length - 1)
        row = sequence * L + step
        state = (row * D + d) * 2 * P + n
        stride = sign * D * 2 * P
        end = ((sequence * chunks + chunk) * D + d) * 2 * P + n
        s_re, s_im = load_pair(carries + end - stride, P, valid & (chunk != (1 - d) * (chunks - 1)))
        before, source, to = x + state + stride, grad + state, grad_Bu + row * 2 * P + n
        for k in range(T):
            active = valid & (k < length)
            g_re, g_im = load_pair(source, P, active)
            earlier = step + sign * (k + 1)
            x_re, x_im = load_pair(before, P, active & (earlier >= 0) & (earlier < L))
            re, im = times_conjugate(s_re, s_im, a_re, a_im)
            s_re, s_im = tl.where(active, re + g_re, s_re), tl.where(active, im + g_im, s_im)
            total_re, total_im = s_re, s_im
            if d == 1:
                other_re, other_im = load_pair(to, P, active)
                total_re, total_im = s_re + other_re, s_im + other_im
            store_pair(to, P, total_re, total_im, active)
            re, im = times_conjugate(s_re, s_im, x_re, x_im)
            sum_re, sum_im = sum_re + re, sum_im + im
            source, before, to = source + stride, before + stride, to + sign * 2 * P
        # The step before a direction's first one is the initial state.
        last = valid & (chunk == d * (chunks - 1))
        start = (sequence * D + d) * 2 * P + n
        x_re, x_im = load_pair(initial + start, P, last)
        re, im = times_conjugate(s_re, s_im, x_re, x_im)
        sum_re, sum_im = sum_re + re, sum_im + im
        re, im = times_conjugate(s_re, s_im, a_re, a_im)
        store_pair(grad_initial + start, P, re, im, last)
    store_pair(grad_A + (sequence * chunks + chunk) * 2 * P + n, P, sum_re, sum_im, valid)
