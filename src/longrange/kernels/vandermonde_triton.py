"""The Vandermonde product on a GPU, in Triton: no table of all L powers, forward or backward.

With l = rT + t and T near sqrt(L), A_bar^l = A_bar^(rT) A_bar^t: two tables of about sqrt(L) powers per pole. The
tables are computed in double precision, since the error of a power grows with its exponent, and rounded once; sums
are in the precision of the inputs. A forward program holds a tile of rows r by all t and walks the poles. A backward
program holds a tile of poles by all t, walks the rows and contracts with the other table at the end; the sums over m
of A_bar's gradient are left to torch, so that results repeat bit by bit. Memory is O(H (N sqrt(L) + M L)).
"""

import math

import triton
import triton.language as tl
from torch import Tensor

from longrange.kernels.triton_tools import block, launch, load_pair, store_pair, times

_T_MIN, _T_MAX = 16, 128  # what is held in registers: below, a tile is too small for its threads; above, too large
_ROWS = 16  # of a forward program
_POLES = 8  # of a backward program
_BLOCK = 128  # powers per program of the tables


def vandermonde_forward(c: Tensor, A_bar: Tensor, L: int) -> Tensor:
    """As `vandermonde_reference`, without gradients."""
    M, _, H, N = c.shape
    T, R = _split(L)
    powers, steps = _table(A_bar, T, 1)[0], _table(A_bar, R, T)[0]
    out = c.new_empty(M, H, L)
    grid = (triton.cdiv(R, _ROWS), H, M)
    launch(_forward, grid, c.contiguous(), powers, steps, out, H, N, L, R, T=T, BLOCK_R=_ROWS)
    return out


def vandermonde_backward(c: Tensor, A_bar: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `vandermonde_forward`.

    Args:
        c: (M, 2, H, N).
        A_bar: (2, H, N).
        grad: (M, H, L).
    Returns:
        Gradients of c (M, 2, H, N) and A_bar (2, H, N).
    """
    M, _, H, N = c.shape
    L = grad.shape[-1]
    T, R = _split(L)
    grad_c, grad_A = c.new_empty(M, 2, H, N), c.new_empty(M, 2, H, N)
    poles = block(N, _POLES)
    tensors = (c.contiguous(), _table(A_bar, T, 1), _table(A_bar, R, T), grad.contiguous(), grad_c, grad_A)
    launch(_backward, (triton.cdiv(N, poles), H, M), *tensors, H, N, L, R, T=T, BLOCK_N=poles)
    return grad_c, grad_A.sum(0)


def _split(L: int) -> tuple[int, int]:
    """T, a power of two near the square root of L, and the number of rows of T that hold L."""
    T = min(max(2 ** math.ceil(math.log2(L) / 2), _T_MIN), _T_MAX)
    return T, triton.cdiv(L, T)


def _table(A_bar: Tensor, count: int, scale: int) -> Tensor:
    """A_bar^e and e A_bar^(e - 1) for e = 0, scale, 2 scale, ..., (2, 2, H, N, count): which, real or imaginary."""
    _, H, N = A_bar.shape
    table = A_bar.new_empty(2, 2, H, N, count)
    size, bits = H * N * count, (count * scale).bit_length()
    grid = (triton.cdiv(size, _BLOCK),)
    launch(_powers, grid, A_bar.contiguous(), table, H * N, count, scale, bits, BLOCK=_BLOCK)
    return table


@triton.jit
def _powers(A_bar, table, poles, count, scale, bits, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    pole, exponent, valid = i // count, (i % count) * scale, i < poles * count
    a_re, a_im = load_pair(A_bar + pole, poles, valid)
    a_re, a_im = a_re.to(tl.float64), a_im.to(tl.float64)
    # The power below e first, by its bits: it is the derivative's, and no division is needed for a pole of zero.
    rest = tl.maximum(exponent - 1, 0)
    square_re, square_im = a_re, a_im
    re, im = tl.full((BLOCK,), 1.0, tl.float64), tl.full((BLOCK,), 0.0, tl.float64)
    for _ in range(bits):
        next_re, next_im = times(re, im, square_re, square_im)
        odd = (rest & 1) == 1
        re, im = tl.where(odd, next_re, re), tl.where(odd, next_im, im)
        square_re, square_im = times(square_re, square_im, square_re, square_im)
        rest = rest >> 1
    store_pair(table + 2 * poles * count + i, poles * count, exponent * re, exponent * im, valid)
    re, im = times(re, im, a_re, a_im)
    re, im = tl.where(exponent == 0, 1.0, re), tl.where(exponent == 0, 0.0, im)
    store_pair(table + i, poles * count, re, im, valid)


@triton.jit
def _forward(c, powers, steps, out, H, N, L, R, T: tl.constexpr, BLOCK_R: tl.constexpr):
    r, h, m = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R), tl.program_id(1), tl.program_id(2).to(tl.int64)
    t = tl.arange(0, T)
    weight = c + m * 2 * H * N + h * N
    total = tl.zeros((BLOCK_R, T), dtype=out.dtype.element_ty)
    for n in range(N):
        c_re, c_im = tl.load(weight + n), tl.load(weight + H * N + n)
        step_re, step_im = load_pair(steps + (h * N + n) * R + r, H * N * R, r < R)
        re, im = times(2 * c_re, 2 * c_im, step_re, step_im)
        power_re, power_im = load_pair(powers + (h * N + n) * T + t, H * N * T, t < T)
        total += re[:, None] * power_re[None, :] - im[:, None] * power_im[None, :]
    step = r[:, None] * T + t[None, :]
    tl.store(out + (m * H + h) * L + step, total, mask=step < L)


@triton.jit
def _backward(c, powers, steps, grad, grad_c, grad_A, H, N, L, R, T: tl.constexpr, BLOCK_N: tl.constexpr):
    """grad_A, (M, 2, H, N), holds the share of every channel."""
    n, h, m = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N), tl.program_id(1), tl.program_id(2).to(tl.int64)
    t, valid, pole = tl.arange(0, T), n < N, h * N + n
    x_re, x_im = tl.zeros((BLOCK_N, T), dtype=grad_A.dtype.element_ty), tl.zeros((BLOCK_N, T), grad_A.dtype.element_ty)
    d_re, d_im = x_re, x_re
    for r in range(R):
        g = tl.load(grad + (m * H + h) * L + r * T + t, mask=r * T + t < L, other=0.0)[None, :]
        step_re, step_im = load_pair(steps + pole * R + r, H * N * R, valid)
        slope_re, slope_im = load_pair(steps + 2 * H * N * R + pole * R + r, H * N * R, valid)
        x_re, x_im = x_re + step_re[:, None] * g, x_im + step_im[:, None] * g
        d_re, d_im = d_re + slope_re[:, None] * g, d_im + slope_im[:, None] * g
    row, mask = pole[:, None] * T + t[None, :], valid[:, None] & (t < T)[None, :]
    power_re, power_im = load_pair(powers + row, H * N * T, mask)
    slope_re, slope_im = load_pair(powers + 2 * H * N * T + row, H * N * T, mask)
    first_re, first_im = times(slope_re, slope_im, x_re, x_im)
    second_re, second_im = times(power_re, power_im, d_re, d_im)
    x_re, x_im = times(power_re, power_im, x_re, x_im)
    at = m * 2 * H * N + pole
    store_pair(grad_c + at, H * N, 2 * tl.sum(x_re, 1), -2 * tl.sum(x_im, 1), valid)
    c_re, c_im = load_pair(c + at, H * N, valid)
    re, im = times(c_re, c_im, tl.sum(first_re + second_re, 1), tl.sum(first_im + second_im, 1))
    store_pair(grad_A + at, H * N, 2 * re, -2 * im, valid)
