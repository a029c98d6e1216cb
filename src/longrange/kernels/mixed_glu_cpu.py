"""S4's activation on the CPU in Numba, float32: a tile of steps at a time goes through all of it, see `tiles_cpu`."""

import numba
import numpy as np
import torch
from torch import Tensor

from longrange.kernels.numba_tools import arrays, inline, internal, logistic, logistic_and_slope, one_step, parallel
from longrange.kernels.operations import tell_products
from longrange.kernels.pointwise_cpu import as_steps, exact_gelu, exact_gelu_and_slope, factor_of, row_of
from longrange.kernels.products_cpu import add_matrix_product, panels
from longrange.kernels.tiles_cpu import copy, rows, sums_of_tasks, tile, tiles_of


def mixed_glu(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    skip: Tensor,
    before: Tensor | None,
    after: Tensor | None,
    scale: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The outputs, (B, L, H), and g W^T + b for the backward pass, (B, L, 2 H)."""
    y = torch.empty_like(skip, memory_format=torch.contiguous_format)
    z = x.new_empty(*x.shape[:2], len(weight))
    tell_products(2 * x.numel() * len(weight), x.dtype)
    factors = factor_of(before, x), factor_of(after, x), factor_of(scale, y)
    _forward(*arrays(panels(weight.T), bias), *as_steps(x, skip, *factors, z, y))
    return y, z


def mixed_glu_backward(
    x: Tensor,
    weight: Tensor,
    z: Tensor,
    before: Tensor | None,
    after: Tensor | None,
    scale: Tensor | None,
    grad: Tensor,
) -> tuple[Tensor, ...]:
    """Gradients of x, weight and bias from those of the outputs."""
    grad_x = torch.empty_like(x, memory_format=torch.contiguous_format)
    share, totals = sums_of_tasks(x, weight, weight[:, 0])
    tell_products(4 * x.numel() * len(weight), x.dtype)
    factors = factor_of(before, x), factor_of(after, x), factor_of(scale, grad)
    _backward(share, *arrays(panels(weight), *totals), *as_steps(x, z, *factors, one_step(grad), grad_x))
    return grad_x, *(t.sum(0) for t in totals)


@parallel
def _forward(W, b, x, skip, before, after, scale, z, y):
    for number in numba.prange(tiles_of(x)):
        _forward_tile(np.int64(number), W, b, x, skip, before, after, scale, z, y)


@internal
def _forward_tile(number, W, b, x, skip, before, after, scale, z, y):
    i, low, high = tile(number, x.shape[1])
    g = rows(x, x.shape[2])
    for k in range(low, high):
        _gelu(x[i, k], row_of(before, i, k), row_of(after, i, k), g[k - low])
        copy(b, z[i, k])
    add_matrix_product(g[: high - low], W, z[i, low:high])
    for k in range(low, high):
        _gate(z[i, k], row_of(scale, i, k), skip[i, k], y[i, k])


@inline
def _gelu(x, before, after, g):
    for n in range(len(g)):
        g[n] = after[n] * exact_gelu(before[n] * x[n])


@inline
def _gate(z, factor, addend, y):
    value, gate = z[: len(y)], z[len(y) :]
    for n in range(len(y)):
        y[n] = addend[n] + factor[n] * value[n] * logistic(gate[n])


@parallel
def _backward(share, W, grad_W, grad_b, x, z, before, after, scale, grad, grad_x):
    for task in numba.prange(len(grad_W)):
        totals = grad_W[task], grad_b[task]
        _backward_tiles(np.int64(task), share, W, *totals, x, z, before, after, scale, grad, grad_x)


@internal
def _backward_tiles(task, share, W, grad_W, grad_b, x, z, before, after, scale, grad, grad_x):
    g, grad_z = rows(x, x.shape[2]), rows(x, z.shape[2])
    grad_W[:], grad_b[:] = 0, 0
    for number in range(task * share, min((task + 1) * share, tiles_of(x))):
        i, low, high = tile(number, x.shape[1])
        for k in range(low, high):
            _gelu(x[i, k], row_of(before, i, k), row_of(after, i, k), g[k - low])
            _gate_back(z[i, k], row_of(scale, i, k), row_of(grad, i, k), grad_z[k - low], grad_b)
        steps, out = grad_z[: high - low], grad_x[i, low:high]
        add_matrix_product(steps.T, g[: high - low], grad_W)
        out[:] = 0
        add_matrix_product(steps, W, out)
        for k in range(low, high):
            _gelu_back(x[i, k], row_of(before, i, k), row_of(after, i, k), grad_x[i, k])


@inline
def _gelu_back(x, before, after, grad):
    for n in range(len(x)):
        _, slope = exact_gelu_and_slope(before[n] * x[n])
        grad[n] *= before[n] * after[n] * slope


@inline
def _gate_back(z, factor, grad, grad_z, of_bias):
    H = len(grad)
    value, gate, of_value, of_gate = z[:H], z[H:], grad_z[:H], grad_z[H:]
    for n in range(H):
        s, slope = logistic_and_slope(gate[n])
        of_value[n] = factor[n] * grad[n] * s
        of_gate[n] = factor[n] * grad[n] * value[n] * slope
    for n in range(len(grad_z)):
        of_bias[n] += grad_z[n]
