"""S4's activation on the CPU in Numba, float32: a tile of steps at a time goes through all of it, see `tiles_cpu`."""

import numba
import numpy as np
import torch
from torch import Tensor

from longrange.kernels.numba_tools import (
    arrays,
    inline,
    internal,
    logistic,
    logistic_and_slope,
    narrowed,
    one_step,
    parallel,
    wide,
)
from longrange.kernels.operations import tell_products
from longrange.kernels.pairs_cpu import paired_across, paired_down, paired_panels, sums_of, write_sums
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
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """The outputs, (B, L, H), and g W^T + b for the backward pass, (B, L, 2 H), the latter of the factors' type."""
    y = torch.empty_like(skip, memory_format=torch.contiguous_format)
    z = x.new_empty(*x.shape[:2], len(weight), dtype=dtype)
    tell_products(2 * x.numel() * len(weight), dtype)
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
    share, totals = sums_of_tasks(z, weight, weight[:, 0])
    tell_products(4 * x.numel() * len(weight), z.dtype)
    factors = factor_of(before, x), factor_of(after, x), factor_of(scale, grad)
    _backward(share, *arrays(panels(weight), *totals), *as_steps(x, z, *factors, one_step(grad), grad_x))
    return grad_x, *(t.sum(0) for t in totals)


@parallel
def _forward(W, b, x, skip, before, after, scale, z, y):
    factors = paired_panels(W, z)
    for number in numba.prange(tiles_of(z)):
        _forward_tile(np.int64(number), factors, b, x, skip, before, after, scale, z, y)


@internal
def _forward_tile(number, W, b, x, skip, before, after, scale, z, y):
    i, low, high = tile(number, z)
    g, products = rows(z, z, x.shape[2])[: high - low], sums_of(z[i, low:high])
    for k in range(low, high):
        _gelu(x[i, k], row_of(before, i, k), row_of(after, i, k), g[k - low])
        copy(b, products[k - low])
    add_matrix_product(paired_across(g, z), W, products)
    for k in range(low, high):
        _gate(products[k - low], row_of(scale, i, k), skip[i, k], y[i, k])
    write_sums(products, z[i, low:high])


@inline
def _gelu(x, before, after, g):
    for n in range(len(g)):
        g[n] = narrowed(g, after[n] * exact_gelu(before[n] * x[n]))


@inline
def _gate(products, factor, addend, y):
    value, gate = products[: len(y)], products[len(y) :]
    for n in range(len(y)):
        y[n] = addend[n] + factor[n] * value[n] * logistic(gate[n])


@parallel
def _backward(share, W, grad_W, grad_b, x, z, before, after, scale, grad, grad_x):
    factors = paired_panels(W, z)
    for task in numba.prange(len(grad_W)):
        totals = grad_W[task], grad_b[task]
        _backward_tiles(np.int64(task), share, factors, *totals, x, z, before, after, scale, grad, grad_x)


@internal
def _backward_tiles(task, share, W, grad_W, grad_b, x, z, before, after, scale, grad, grad_x):
    of_g, of_z = rows(z, z, x.shape[2]), rows(z, z, z.shape[2])
    grad_W[:], grad_b[:] = 0, 0
    for number in range(task * share, min((task + 1) * share, tiles_of(z))):
        i, low, high = tile(number, z)
        g, grad_z, out = of_g[: high - low], of_z[: high - low], grad_x[i, low:high]
        for k in range(low, high):
            _gelu(x[i, k], row_of(before, i, k), row_of(after, i, k), g[k - low])
            _gate_back(z[i, k], row_of(scale, i, k), row_of(grad, i, k), grad_z[k - low], grad_b)
        add_matrix_product(paired_down(grad_z, z).T, paired_down(g, z), grad_W)
        out[:] = 0
        add_matrix_product(paired_across(grad_z, z), W, out)
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
        s, slope = logistic_and_slope(wide(gate[n]))
        of_value[n] = narrowed(of_value, factor[n] * grad[n] * s)
        of_gate[n] = narrowed(of_gate, factor[n] * grad[n] * wide(value[n]) * slope)
    for n in range(len(grad_z)):
        of_bias[n] += wide(grad_z[n])
