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


def moments(x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance over the valid steps, (H,) each, and their number, (), of x, (B, L, H)."""
    mean, variance, count = x.new_zeros(x.shape[2]), x.new_zeros(x.shape[2]), x.new_empty(1)
    _moments(*arrays(x, lengths, mean, variance, count))
    return mean, variance, count.view(())


def normalized(
    x: Tensor, lengths: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> Tensor:
    """weight * (x - mean) / sqrt(variance + eps) + bias on the valid steps, zeros elsewhere."""
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    _normalize(eps, *arrays(x, lengths, mean, variance, weight, bias, y))
    return y


def sums(grad: Tensor, x: Tensor, lengths: Tensor, mean: Tensor, variance: Tensor, eps: float) -> Tensor:
    """Gradients of the bias and of the weight, (2, H): sums over the valid steps."""
    out = x.new_zeros(2, x.shape[2])
    _sums(eps, *arrays(grad, x, lengths, mean, variance, out))
    return out


def combine(
    grad: Tensor, x: Tensor, lengths: Tensor, of_batch: tuple[Tensor, ...], weight: Tensor, eps: float,
    skip: Tensor | None,
) -> Tensor:  # fmt: skip
    """The gradient in x by way of the valid steps, zeros elsewhere; + skip.

    `of_batch` are mean, variance, count and `sums` of the whole batch.
    """
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    addend = x.new_zeros(1, 1, x.shape[2]) if skip is None else one_step(skip)
    mean, variance, count, sums = of_batch
    _combine(eps, *arrays(grad, x, lengths, mean, variance, count.view(1), weight, sums, addend, out))
    return out


@inline
def _blocks(L):
    """Tasks per sequence of L steps."""
    return (L + _STEPS - 1) // _STEPS


@parallel
def _moments(x, lengths, mean, variance, count):
    """Moments of each task, merged by their shares."""
    blocks = _blocks(x.shape[1])
    parts, counts = np.zeros((len(x) * blocks, 2, x.shape[2]), x.dtype), np.zeros(len(x) * blocks, x.dtype)
    for task in numba.prange(len(counts)):
        i, start = task // blocks, (task % blocks) * _STEPS
        steps = min(start + _STEPS, lengths[i], x.shape[1]) - start
        if steps > 0:
            counts[task] = steps
            _moments_of(x[i, start : start + steps], parts[task, 0], parts[task, 1])
    count[0] = counts.sum()
    shares = counts / count[0]
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


@inline
def _inverse_deviations(variance, eps):
    out = np.empty_like(variance)
    for n in range(len(out)):
        out[n] = 1 / np.sqrt(variance[n] + variance.dtype.type(eps))
    return out


@parallel
def _normalize(eps, x, lengths, mean, variance, weight, bias, y):
    scale = _inverse_deviations(variance, eps)
    for n in range(len(scale)):
        scale[n] *= weight[n]
    blocks = _blocks(x.shape[1])
    for task in numba.prange(x.shape[0] * blocks):
        i, start = task // blocks, (task % blocks) * _STEPS
        for k in range(start, min(start + _STEPS, x.shape[1])):
            row, out = x[i, k], y[i, k]
            if k < lengths[i]:
                for n in range(len(row)):
                    out[n] = scale[n] * (row[n] - mean[n]) + bias[n]
            else:
                out[:] = 0


@parallel
def _sums(eps, grad, x, lengths, mean, variance, out):
    blocks = _blocks(x.shape[1])
    parts = np.zeros((len(x) * blocks, 2, x.shape[2]), x.dtype)
    for task in numba.prange(len(parts)):
        i, start = task // blocks, (task % blocks) * _STEPS
        total, product = parts[task, 0], parts[task, 1]
        for k in range(start, min(start + _STEPS, lengths[i], x.shape[1])):
            row, g = x[i, k], grad[i, k]
            for n in range(len(row)):
                total[n] += g[n]
                product[n] += g[n] * (row[n] - mean[n])
    inverse = _inverse_deviations(variance, eps)
    for part in parts:
        for n in range(len(inverse)):
            out[0, n] += part[0, n]
            out[1, n] += part[1, n] * inverse[n]


@parallel
def _combine(eps, grad, x, lengths, mean, variance, count, weight, sums, skip, out):
    scale, slope, shift = _inverse_deviations(variance, eps), np.empty_like(mean), np.empty_like(mean)
    for n in range(len(scale)):
        slope[n], shift[n] = sums[1, n] * scale[n] / count[0], sums[0, n] / count[0]
        scale[n] *= weight[n]
    blocks = _blocks(x.shape[1])
    for task in numba.prange(x.shape[0] * blocks):
        i, start = task // blocks, (task % blocks) * _STEPS
        for k in range(start, min(start + _STEPS, x.shape[1])):
            g, row, to, addend = grad[i, k], x[i, k], out[i, k], skip[i % len(skip), k % skip.shape[1]]
            if k < lengths[i]:
                for n in range(len(row)):
                    to[n] = scale[n] * (g[n] - shift[n] - slope[n] * (row[n] - mean[n])) + addend[n]
            else:
                for n in range(len(row)):
                    to[n] = addend[n]
