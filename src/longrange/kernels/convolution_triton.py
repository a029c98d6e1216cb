"""What stands between the transforms of a convolution on a GPU, in Triton: one pass over memory each.

Time and features change places in tiles, so that whole cache lines are read and written. Both gradients of a product
of spectra come from one reading of the gradient; the sum over sequences is in a fixed order, so results repeat bit by
bit. Complex numbers lie as torch has them, real and imaginary parts in turn.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from longrange.kernels.triton_tools import block, launch, times_conjugate

_TILE = 64  # rows and columns that change places at once
_FREQUENCIES = 512  # of a program, times channels


def features_first(u: Tensor, n: int) -> Tensor:
    """(B, L, H) to (B, H, n), zero-padded from step L on; n at least L."""
    return _turned(u, u.shape[2], n)


def time_first(y: Tensor, L: int) -> Tensor:
    """The first L steps of (B, H, n) as (B, L, H)."""
    return _turned(y, L, y.shape[1])


def products(u_hat: Tensor, K_hat: Tensor) -> Tensor:
    """u_hat K_hat for u_hat (B, H, F) and K_hat (M, H, F), all complex: (B, M, H, F)."""
    return u_hat.unsqueeze(1) * K_hat


def correlations(
    grad: Tensor, u_hat: Tensor, K_hat: Tensor, for_u: bool, for_K: bool
) -> tuple[Tensor | None, Tensor | None]:
    """See `convolution_cpu.correlations`; grad is only read."""
    B, M, H, F = grad.shape
    grad_u, grad_K = u_hat.new_empty(B, H, F) if for_u else None, K_hat.new_empty(M, H, F) if for_K else None
    channels = triton.next_power_of_2(M)
    tile = block(F, max(_FREQUENCIES // channels, 1))
    tensors = (_reals(t) for t in (grad, u_hat, K_hat, grad_u, grad_K))
    grid = (triton.cdiv(F, tile), H)
    launch(_correlations, grid, *tensors, B, M, H, F, CHANNELS=channels, TILE=tile)
    return grad_u, grad_K


def _turned(x: Tensor, rows: int, columns: int) -> Tensor:
    """The transposes of a batch of matrices, cut or padded with zeros to rows by columns."""
    out = x.new_empty(len(x), rows, columns)
    down, across = triton.cdiv(rows, _TILE), triton.cdiv(columns, _TILE)
    sizes = *x.shape[1:], rows, columns, down, across
    launch(_turn, (len(x) * down * across,), x.contiguous(), out, *sizes, TILE=_TILE)
    return out


def _reals(z: Tensor | None) -> Tensor | None:
    return None if z is None else torch.view_as_real(z.contiguous())


@triton.jit
def _turn(x, out, x_rows, x_columns, rows, columns, down, across, TILE: tl.constexpr):
    i = (tl.program_id(0) // (down * across)).to(tl.int64)
    row = tl.program_id(0) // across % down * TILE + tl.arange(0, TILE)[:, None]
    column = tl.program_id(0) % across * TILE + tl.arange(0, TILE)[None, :]
    there = (row < x_columns) & (column < x_rows)
    value = tl.load(x + (i * x_rows + column) * x_columns + row, mask=there, other=0.0)
    tl.store(out + (i * rows + row) * columns + column, value, mask=(row < rows) & (column < columns))


@triton.jit
def _correlations(grad, u, K, grad_u, grad_K, B, M, H, F, CHANNELS: tl.constexpr, TILE: tl.constexpr):
    """A tile is (channels, frequencies, 2): real and imaginary parts are neighbours in memory, and loaded together."""
    m = tl.arange(0, CHANNELS)[:, None, None].to(tl.int64)
    f = tl.program_id(0) * TILE + tl.arange(0, TILE)[None, :, None]
    one = (tl.program_id(1) * F + f) * 2 + tl.arange(0, 2)[None, None, :]
    every = m * H * F * 2 + one
    mask, masks = f < F, (m < M) & (f < F)
    k_re, k_im = tl.split(tl.load(K + every, mask=masks, other=0.0))
    sum_re, sum_im = tl.zeros_like(k_re), tl.zeros_like(k_re)
    for _ in range(B):
        g_re, g_im = tl.split(tl.load(grad + every, mask=masks, other=0.0))
        if grad_K is not None:
            u_re, u_im = tl.split(tl.load(u + one, mask=mask, other=0.0))
            re, im = times_conjugate(g_re, g_im, u_re, u_im)
            sum_re, sum_im = sum_re + re, sum_im + im
            u += H * F * 2
        if grad_u is not None:
            re, im = times_conjugate(g_re, g_im, k_re, k_im)
            total = tl.join(tl.sum(re, 0), tl.sum(im, 0))[None, :, :]
            tl.store(grad_u + one, total, mask=mask)
            grad_u += H * F * 2
        grad += M * H * F * 2
    if grad_K is not None:
        tl.store(grad_K + every, tl.join(sum_re, sum_im), mask=masks)
