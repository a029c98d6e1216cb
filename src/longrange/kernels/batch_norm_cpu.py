"""Batch normalisation over the valid steps of padded sequences, on the CPU in Numba.

Two passes over memory forward (moments, then the map) and two backward (sums, then the gradient); padded steps are
written as zeros. Sums are taken per task and merged in a fixed order, so they do not depend on the number of threads.
"""

import numba
import numpy as np
import torch
from torch import Tensor

from longrange.kernels.numba_tools import arrays, inline, one_step, parallel

_STEPS = 128  # per task: a block of them stays in the second-level cache


def moments(x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance over the valid steps, (H,) each, of x, (B, L, H), with lengths (B,)."""
    mean, variance = x.new_zeros(x.shape[2]), x.new_zeros(x.shape[2])
    _moments(*arrays(x, lengths, mean, variance))
    return mean, variance


def affine(x: Tensor, lengths: Tensor, mean: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """scale * (x - mean) + shift on the valid steps, zeros elsewhere; mean, scale and shift are (H,)."""
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    _affine(*arrays(x, lengths, mean, scale, shift, y))
    return y


def sums(grad: Tensor, x: Tensor, lengths: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over the valid steps of grad and of grad * (x - mean), (H,) each."""
    plain, weighted = x.new_zeros(x.shape[2]), x.new_zeros(x.shape[2])
    _sums(*arrays(grad, x, lengths, mean, plain, weighted))
    return plain, weighted


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
def _moments(x, lengths, mean, variance):
    """Moments of each task, merged by their shares."""
    blocks = _blocks(x.shape[1])
    parts, counts = np.zeros((len(x) * blocks, 2, x.shape[2]), x.dtype), np.zeros(len(x) * blocks, x.dtype)
    for task in numba.prange(len(counts)):
        i, start = task // blocks, (task % blocks) * _STEPS
        count = min(start + _STEPS, lengths[i]) - start
        if count > 0:
            counts[task] = count
            _moments_of(x[i, start : start + count], parts[task, 0], parts[task, 1])
    shares = counts / counts.sum()
    for task in range(len(shares)):
        for n in range(len(mean)):
            mean[n] += shares[task] * parts[task, 0, n]
    for task in range(len(shares)):
        for n in range(len(mean)):
            away = parts[task, 0, n] - mean[n]
            variance[n] += shares[task] * (parts[task, 1, n] + away * away)


@inline
def _moments_of(rows, mean, variance):
    """Mean and biased variance of some steps."""
    for k in range(len(rows)):
        for n in range(len(mean)):
            mean[n] += rows[k, n]
    for n in range(len(mean)):
        mean[n] /= len(rows)
    for k in range(len(rows)):
        for n in range(len(mean)):
            variance[n] += (rows[k, n] - mean[n]) * (rows[k, n] - mean[n])
    for n in range(len(mean)):
        variance[n] /= len(rows)


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
    parts = np.zeros((len(x) * blocks, 2, x.shape[2]), x.dtype)
    for task in numba.prange(len(parts)):
        i, start = task // blocks, (task % blocks) * _STEPS
        total, product = parts[task, 0], parts[task, 1]
        for k in range(start, min(start + _STEPS, lengths[i])):
            row, g = x[i, k], grad[i, k]
            for n in range(len(row)):
                total[n] += g[n]
                product[n] += g[n] * (row[n] - mean[n])
    for part in parts:
        for n in range(len(plain)):
            plain[n] += part[0, n]
            weighted[n] += part[1, n]


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
