"""Batch normalisation over the valid steps of padded sequences, on a GPU, in Triton.

As on the CPU two passes over memory forward (moments, then the map) and two backward (sums, then the gradient); padded
steps are written as zeros and not read. x and the gradients may be of any precision; statistics and sums are in
float32, or float64 where x is. Each program leaves the sums of its tile, which are merged in a fixed order: results
repeat bit by bit.
"""

import triton
import triton.language as tl
from torch import Tensor

from longrange.kernels.triton_tools import launch, load_wide, tile, tiling, wide_dtype

_ELEMENTS = 4096  # of a tile: 32 per thread, and sums are a 64th of what is summed
_MERGED = {"ROWS": 512, "FEATURES": 8}  # a tile of the merge: a few features, so that even 64 make several programs


def moments(x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance over the valid steps, (H,) each, and their number, (), of x, (B, L, H)."""
    means, squares = _sums(x, 2)
    counts, H = means.new_empty(len(means)), x.shape[-1]
    _launch(_moments, x, x.contiguous(), lengths, means, squares, counts)
    mean, variance, count = means.new_empty(H), means.new_empty(H), means.new_empty(())
    grid = (triton.cdiv(H, _MERGED["FEATURES"]),)
    launch(_merge, grid, means, squares, counts, mean, variance, count, len(means), H, **_MERGED)
    return mean, variance, count


def normalized(
    x: Tensor, lengths: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> Tensor:
    """weight * (x - mean) / sqrt(variance + eps) + bias on the valid steps, zeros elsewhere."""
    y = x.new_empty(x.shape)
    vectors = mean, variance, weight.contiguous(), bias.contiguous()
    _launch(_normalize, x, x.contiguous(), lengths, *vectors, y, EPS=eps)
    return y


def sums(grad: Tensor, x: Tensor, lengths: Tensor, mean: Tensor, variance: Tensor, eps: float) -> Tensor:
    """Gradients of the bias and of the weight, (2, H): sums over the valid steps."""
    parts = _sums(x, 2)
    _launch(_add_up, x, grad.contiguous(), x.contiguous(), lengths, mean, variance, *parts, EPS=eps)
    return parts.sum(1)


def combine(
    grad: Tensor, x: Tensor, lengths: Tensor, of_batch: tuple[Tensor, ...], weight: Tensor, eps: float,
    skip: Tensor | None,
) -> Tensor:  # fmt: skip
    """The gradient in x by way of the valid steps, zeros elsewhere; + skip.

    `of_batch` are mean, variance, count and `sums` of the whole batch.
    """
    out = x.new_empty(x.shape)
    mean, variance, count, sums = of_batch
    statistics = mean, variance, count, weight.contiguous(), *sums.contiguous()
    addend = None if skip is None else skip.contiguous()
    _launch(_combine, x, grad.contiguous(), x.contiguous(), lengths, *statistics, addend, out, EPS=eps)
    return out


def _launch(kernel, like: Tensor, *arguments, **constants) -> None:
    """Run over the tiles of `like`, whose L and H end the kernel's arguments."""
    cut = tiling(like, _ELEMENTS)
    launch(kernel, cut.grid, *arguments, *cut.sizes, **cut.tile, **constants)


def _sums(x: Tensor, number: int) -> Tensor:
    """Where each row of programs over x leaves its shares of some sums over steps."""
    return x.new_empty(number, tiling(x, _ELEMENTS).rows, x.shape[-1], dtype=wide_dtype(x))


@triton.jit
def _valid(lengths, sequence, step, L):
    return step < tl.minimum(tl.load(lengths + sequence), L)


@triton.jit
def _moments(x, lengths, means, squares, counts, L, H, STEPS: tl.constexpr, FEATURES: tl.constexpr):
    """Of every tile: mean, sum of squares about it, and how many steps are valid."""
    sequence, part, step, n = tile(L, H, STEPS, FEATURES)
    valid = _valid(lengths, sequence, step, L)
    row = load_wide(x + (sequence * L + step) * H + n, valid & (n < H))
    count = tl.sum(valid.to(tl.int32))
    mean = tl.sum(row, 0) / tl.maximum(count, 1)
    off = tl.where(valid, row - mean[None, :], 0.0)
    tl.store(means + part * H + n, mean[None, :], mask=n < H)
    tl.store(squares + part * H + n, tl.sum(off * off, 0)[None, :], mask=n < H)
    tl.store(counts + part, count)  # the same from all blocks of features


@triton.jit
def _merge(
    means, squares, counts, mean, variance, every, rows, H,
    ROWS: tl.constexpr, FEATURES: tl.constexpr,
):  # fmt: skip
    """Mean, variance and number of all tiles; the sum of squares is taken about the mean, so nothing cancels."""
    n = tl.program_id(0) * FEATURES + tl.arange(0, FEATURES)[None, :]
    number = tl.zeros((ROWS, 1), dtype=means.dtype.element_ty)
    total = tl.zeros((ROWS, FEATURES), dtype=means.dtype.element_ty)
    for low in range(0, rows, ROWS):
        row = low + tl.arange(0, ROWS)[:, None].to(tl.int64)
        count = tl.load(counts + row, mask=row < rows, other=0.0)
        number += count
        total += count * tl.load(means + row * H + n, mask=(row < rows) & (n < H), other=0.0)
    center = tl.sum(total, 0)[None, :] / tl.sum(number)
    tl.store(every, tl.sum(number))  # the same from all programs
    total = tl.zeros((ROWS, FEATURES), dtype=means.dtype.element_ty)
    for low in range(0, rows, ROWS):
        row = low + tl.arange(0, ROWS)[:, None].to(tl.int64)
        at, mask = row * H + n, (row < rows) & (n < H)
        off = tl.load(means + at, mask=mask, other=0.0) - center
        total += tl.load(squares + at, mask=mask, other=0.0)
        total += tl.load(counts + row, mask=row < rows, other=0.0) * off * off
    tl.store(mean + n, center, mask=n < H)
    tl.store(variance + n, tl.sum(total, 0)[None, :] / tl.sum(number), mask=n < H)


@triton.jit
def _inverse_deviation(variance, n, H, EPS: tl.constexpr):
    return 1 / tl.sqrt(load_wide(variance + n, n < H) + EPS)


@triton.jit
def _normalize(
    x, lengths, mean, variance, weight, bias, y, L, H,
    EPS: tl.constexpr, STEPS: tl.constexpr, FEATURES: tl.constexpr,
):  # fmt: skip
    sequence, _, step, n = tile(L, H, STEPS, FEATURES)
    at, valid = (sequence * L + step) * H + n, _valid(lengths, sequence, step, L)
    off = load_wide(x + at, valid & (n < H)) - load_wide(mean + n, n < H)
    scale = load_wide(weight + n, n < H) * _inverse_deviation(variance, n, H, EPS)
    out = scale * off + load_wide(bias + n, n < H)
    tl.store(y + at, tl.where(valid, out, 0.0), mask=(step < L) & (n < H))


@triton.jit
def _add_up(
    grad, x, lengths, mean, variance, plain, weighted, L, H,
    EPS: tl.constexpr, STEPS: tl.constexpr, FEATURES: tl.constexpr,
):  # fmt: skip
    sequence, part, step, n = tile(L, H, STEPS, FEATURES)
    at, mask = (sequence * L + step) * H + n, _valid(lengths, sequence, step, L) & (n < H)
    g, off = load_wide(grad + at, mask), load_wide(x + at, mask) - load_wide(mean + n, n < H)
    tl.store(plain + part * H + n, tl.sum(g, 0)[None, :], mask=n < H)
    product = tl.sum(g * off, 0)[None, :] * _inverse_deviation(variance, n, H, EPS)
    tl.store(weighted + part * H + n, product, mask=n < H)


@triton.jit
def _combine(
    grad, x, lengths, mean, variance, count, weight, plain, weighted, skip, out, L, H,
    EPS: tl.constexpr, STEPS: tl.constexpr, FEATURES: tl.constexpr,
):  # fmt: skip
    sequence, _, step, n = tile(L, H, STEPS, FEATURES)
    at, valid = (sequence * L + step) * H + n, _valid(lengths, sequence, step, L)
    g, off = load_wide(grad + at, valid & (n < H)), load_wide(x + at, valid & (n < H)) - load_wide(mean + n, n < H)
    inverse, number = _inverse_deviation(variance, n, H, EPS), tl.load(count)
    slope = load_wide(weighted + n, n < H) * inverse / number
    total = load_wide(weight + n, n < H) * inverse * (g - load_wide(plain + n, n < H) / number - slope * off)
    total = tl.where(valid, total, 0.0)
    if skip is not None:
        total += load_wide(skip + at, (step < L) & (n < H))
    tl.store(out + at, total, mask=(step < L) & (n < H))
