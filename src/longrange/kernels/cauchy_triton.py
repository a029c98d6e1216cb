"""The Cauchy sums on a GPU, in Triton: one tile of terms at a time, computed again in the backward pass.

A pole a + ib and its conjugate together, with weight v and at z = iy, are

    2 (z p - s) q,  p = Re v,  s = Re(v conj(a + ib)),  1/q = (z - a - ib)(z - a + ib) = a^2 + (b - y)(b + y) - 2iay,

as on the CPU. A forward program holds all J sums at a tile of points and walks the poles: each thread has points of
its own, so one reciprocal serves all sums. A backward program holds a tile of poles of one sum and walks the points;
the sums over j of the poles' gradients are left to torch, so that results repeat bit by bit. Memory is O(J H (N + K)).
"""

import triton
import triton.language as tl
from torch import Tensor

from longrange.kernels.triton_tools import block, launch, load_pair, store_pair

_SUMS = 8  # sums per forward program at most
_POINTS = 128  # points of a forward program: one per thread
_TILE_N, _TILE_K = 8, 64  # poles and points of a backward program's tile


def cauchy_forward(v: Tensor, Lambda: Tensor, y: Tensor) -> Tensor:
    """As `cauchy_reference`, without gradients."""
    (J, _, H, N), K = v.shape, len(y)
    out = v.new_empty(J, 2, H, K)
    sums = block(J, _SUMS)
    grid = (triton.cdiv(K, _POINTS), H, triton.cdiv(J, sums))
    tensors = (v.contiguous(), Lambda.contiguous(), y.contiguous(), out)
    launch(_forward, grid, *tensors, J, H, N, K, BLOCK_J=sums, BLOCK_K=_POINTS)
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
    (J, _, H, N), K = v.shape, len(y)
    grad_v, grad_Lambda = v.new_empty(J, 2, H, N), v.new_empty(J, 2, H, N)
    poles = block(N, _TILE_N)
    tensors = (v.contiguous(), Lambda.contiguous(), y.contiguous(), grad.contiguous(), grad_v, grad_Lambda)
    launch(_backward, (triton.cdiv(N, poles), H, J), *tensors, H, N, K, BLOCK_N=poles, BLOCK_K=_TILE_K)
    return grad_v, grad_Lambda.sum(0)


@triton.jit
def _reciprocal(a, b, y):
    """q at every point; the factors b - y and b + y are exact to rounding near the resonance."""
    re, im = a * a + (b - y) * (b + y), 2 * a * y
    size = re * re + im * im
    return re / size, im / size


@triton.jit
def _forward(v, Lambda, y, out, J, H, N, K, BLOCK_J: tl.constexpr, BLOCK_K: tl.constexpr):
    k, h = tl.program_id(0) * BLOCK_K + tl.arange(0, BLOCK_K), tl.program_id(1)
    j = (tl.program_id(2) * BLOCK_J + tl.arange(0, BLOCK_J)).to(tl.int64)
    point = tl.load(y + k, mask=k < K, other=0.0)
    weight, pole = v + j * 2 * H * N + h * N, Lambda + h * N
    sum_re = tl.zeros((BLOCK_J, BLOCK_K), dtype=point.dtype)
    sum_im = tl.zeros((BLOCK_J, BLOCK_K), dtype=point.dtype)
    for n in range(N):
        a, b = tl.load(pole + n), tl.load(pole + H * N + n)
        v_re, v_im = load_pair(weight + n, H * N, j < J)
        p, s = (2 * v_re)[:, None], (2 * (v_re * a + v_im * b))[:, None]
        q_re, q_im = _reciprocal(a, b, point)
        sum_re -= p * (point * q_im)[None, :] + s * q_re[None, :]
        sum_im += p * (point * q_re)[None, :] - s * q_im[None, :]
    to = out + (j * 2 * H + h)[:, None] * K + k[None, :]
    store_pair(to, H * K, sum_re, sum_im, (j < J)[:, None] & (k < K)[None, :])


@triton.jit
def _backward(
    v, Lambda, y, grad, grad_v, grad_Lambda, H, N, K,
    BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """grad_Lambda, (J, 2, H, N), holds the share of every sum."""
    n, h, j = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N), tl.program_id(1), tl.program_id(2).to(tl.int64)
    at = j * 2 * H * N + h * N + n
    pole = Lambda + h * N + n
    a, b = tl.load(pole, mask=n < N, other=1.0), tl.load(pole + H * N, mask=n < N, other=1.0)  # none is a zero of 1/q
    v_re, v_im = load_pair(v + at, H * N, n < N)
    p, s = (2 * v_re)[:, None], (2 * (v_re * a + v_im * b))[:, None]
    to_p, to_s = tl.zeros((BLOCK_N, BLOCK_K), dtype=a.dtype), tl.zeros((BLOCK_N, BLOCK_K), dtype=a.dtype)
    to_re, to_im = to_p, to_p
    for low in range(0, K, BLOCK_K):
        k = low + tl.arange(0, BLOCK_K)
        point = tl.load(y + k, mask=k < K, other=0.0)[None, :]
        g_re, g_im = load_pair(grad + (j * 2 * H + h) * K + k, H * K, k < K)
        g_re, g_im = g_re[None, :], g_im[None, :]
        q_re, q_im = _reciprocal(a[:, None], b[:, None], point)
        to_p += point * (g_im * q_re - g_re * q_im)
        to_s -= g_re * q_re + g_im * q_im
        to_q_re, to_q_im = p * point * g_im - s * g_re, -p * point * g_re - s * g_im
        square_re, square_im = q_re * q_re - q_im * q_im, 2 * q_re * q_im
        to_re -= to_q_re * square_re + to_q_im * square_im  # of 1/q, real part
        to_im += point * (to_q_re * square_im - to_q_im * square_re)  # of 1/q, imaginary part, times y
    p_sum, s_sum, re, im = 2 * tl.sum(to_p, 1), 2 * tl.sum(to_s, 1), 2 * tl.sum(to_re, 1), 2 * tl.sum(to_im, 1)
    store_pair(grad_v + at, H * N, p_sum + a * s_sum, b * s_sum, n < N)
    store_pair(grad_Lambda + at, H * N, a * re - im + v_re * s_sum, b * re + v_im * s_sum, n < N)
