"""Batch normalisation over the valid steps of padded sequences, on the CPU in Numba.

Two passes over memory forward (moments, then the map) and two backward (sums, then the gradient); padded steps are
written as zeros. Sums are taken per task and merged in a fixed order, so they do not depend on the number of threads.
"""

import numba
import torch
from torch import Tensor

from longrange.kernels.numba_tools import arrays, inline, one_step, parallel

_STEPS = 128  # per task: a block of them stays in the second-level cache


def moments(x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance over the valid steps, (H,) each, of x, (B, L, H), with lengths (B,)."""
    tasks = x.shape[0] * _blocks(x.shape[1])
    means, squares, counts = x.new_zeros(tasks, x.shape[2]), x.new_zeros(tasks, x.shape[2]), x.new_zeros(tasks)
    _moments(*arrays(x, lengths, means, squares, counts))
    share = (counts / counts.sum()).unsqueeze(1)  # sums, not a matrix product, which autocast would round
    mean = (share * means).sum(0)
    return mean, squares.sum(0) / counts.sum() + (share * (means - mean).square()).sum(0)


def affine(x: Tensor, lengths: Tensor, mean: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """scale * (x - mean) + shift on the valid steps, zeros elsewhere; mean, scale and shift are (H,)."""
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    _affine(*arrays(x, lengths, mean, scale, shift, y))
    return y


def sums(grad: Tensor, x: Tensor, lengths: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over the valid steps of grad and of grad * (x - mean), (H,) each."""
    tasks = x.shape[0] * _blocks(x.shape[1])
    plain, weighted = x.new_zeros(tasks, x.shape[2]), x.new_zeros(tasks, x.shape[2])
    _sums(*arrays(grad, x, lengths, mean, plain, weighted))
    return plain.sum(0), weighted.sum(0)


def combine(
    grad: Tensor, x: Tensor, lengths: Tensor, mean: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor | None
) -> Tensor:
    """a * grad + b * (x - mean) + c on the valid steps, zeros elsewhere, + skip; mean, a, b and c are (H,)."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    addend = x.new_zeros(1, 1, x.shape[2]) if skip is None else one_step(skip)
    _combine(*arrays(grad, x, lengths, mean, a, b, c, addend, out))
    return out


@inline
def _blocks(L):
    """Tasks per sequence of L steps."""
    return (L + _STEPS - 1) // _STEPS


@parallel
def _moments(x, lengths, means, squares, counts):
    blocks = _blocks(x.shape[1])
    for task in numba.prange(len(counts)):
        i, start = task // blocks, (task % blocks) * _STEPS
        count = min(start + _STEPS, lengths[i]) - start
        if count > 0:
            counts[task] = count
            mean, square = means[task], squares[task]
            for k in range(start, start + count):
                row = x[i, k]
                for n in range(len(row)):
                    mean[n] += row[n]
            for n in range(len(mean)):
                mean[n] /= counts[task]
            for k in range(start, start + count):
                row = x[i, k]
                for n in range(len(row)):
                    square[n] += (row[n] - mean[n]) * (row[n] - mean[n])


@parallel
def _affine(x, lengths, mean, scale, shift, y):
    blocks = _blocks(x.shape[1])
    for task in numba.prange(x.shape[0] * blocks):
        i, start = task // blocks, (task % blocks) * _STEPS
        for k in range(start, min(start + _STEPS, x.shape[1])):
            row, out = x[i, k], y[i, k]
            if k < lengths[i]:
                for n in range(len(row)):
                    out[n] = scale[n] * (row[n] - mean[n]) + shift[n]
            else:
                out[:] = 0


@parallel
def _sums(grad, x, lengths, mean, plain, weighted):
    blocks = _blocks(x.shape[1])
    for task in numba.prange(len(plain)):
        i, start = task // blocks, (task % blocks) * _STEPS
        total, product = plain[task], weighted[task]
        for k in range(start, min(start + _STEPS, lengths[i])):
            row, g = x[i, k], grad[i, k]
            for n in range(len(row)):
                total[n] += g[n]
                product[n] += g[n] * (row[n] - mean[n])


@parallel
def _combine(grad, x, lengths, mean, a, b, c, skip, out):
    blocks = _blocks(x.shape[1])
    for task in numba.prange(x.shape[0] * blocks):
        i, start = task // blocks, (task % blocks) * _STEPS
        for k in range(start, min(start + _STEPS, x.shape[1])):
            g, row, to, addend = grad[i, k], x[i, k], out[i, k], skip[i % len(skip), k % skip.shape[1]]
            if k < lengths[i]:
                for n in range(len(row)):
                    to[n] = a[n] * g[n] + b[n] * (row[n] - mean[n]) + c[n] + addend[n]
            else:
                for n in range(len(row)):
                    to[n] = addend[n]
