"""S5's activation on the CPU in Numba, float32: a tile of steps at a time goes through all of it, see `tiles_cpu`."""

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
    one_step,
    parallel,
    wide,
)
from longrange.kernels.operations import tell_products
from longrange.kernels.pairs_cpu import paired_across, paired_down, paired_panels, sums_of, write_sums
from longrange.kernels.pointwise_cpu import as_steps, factor_of, row_of, tanh_gelu, tanh_gelu_and_slope
from longrange.kernels.products_cpu import add_matrix_product, panels
from longrange.kernels.tiles_cpu import copy, rows, sums_of_tasks, tile, tiles_of


def half_glu(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    skip: Tensor,
    after: Tensor | None,
    scale: Tensor | None,
    of_gelu: bool,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """The outputs, and g W^T + b for the backward pass, both (B, L, H), the latter of the factors' type."""
    z, y = (torch.empty_like(x, dtype=t, memory_format=torch.contiguous_format) for t in (dtype, x.dtype))
    tell_products(2 * x.numel() * len(weight), dtype)
    factors = factor_of(after, x), factor_of(scale, x)
    _forward(of_gelu, *arrays(panels(weight.T), bias), *as_steps(x, skip, *factors, z, y))
    return y, z


def half_glu_backward(
    x: Tensor,
    weight: Tensor,
    z: Tensor,
    after: Tensor | None,
    scale: Tensor | None,
    of_gelu: bool,
    grad: Tensor,
) -> tuple[Tensor, ...]:
    """Gradients of x, weight and bias from those of the outputs."""
    grad_x = torch.empty_like(x, memory_format=torch.contiguous_format)
    share, totals = sums_of_tasks(z, weight, weight[0])
    tell_products(4 * x.numel() * len(weight), z.dtype)
    steps = as_steps(x, z, factor_of(after, x), factor_of(scale, x), one_step(grad), grad_x)
    _backward(of_gelu, share, *arrays(panels(weight), *totals), *steps)
    return grad_x, *(t.sum(0) for t in totals)


@parallel
def _forward(of_gelu, W, b, x, skip, after, scale, z, y):
    factors = paired_panels(W, z)
    for number in numba.prange(tiles_of(z)):
        _forward_tile(np.int64(number), of_gelu, factors, b, x, skip, after, scale, z, y)


@internal
def _forward_tile(number, of_gelu, W, b, x, skip, after, scale, z, y):
    i, low, high = tile(number, z)
    g, products = rows(x, z, x.shape[2])[: high - low], sums_of(z[i, low:high])
    for k in range(low, high):
        _gelu(x[i, k], row_of(after, i, k), g[k - low])
        copy(b, products[k - low])
    add_matrix_product(paired_across(g, z), W, products)
    for k in range(low, high):
        value = g[k - low] if of_gelu else x[i, k]
        _gate(value, products[k - low], row_of(scale, i, k), skip[i, k], y[i, k])
    write_sums(products, z[i, low:high])


@inline
def _gelu(x, after, g):
    for n in range(len(g)):
        g[n] = after[n] * tanh_gelu(x[n])


@inline
def _gate(value, products, factor, addend, y):
    for n in range(len(y)):
        y[n] = addend[n] + factor[n] * value[n] * logistic(products[n])


@parallel
def _backward(of_gelu, share, W, grad_W, grad_b, x, z, after, scale, grad, grad_x):
    factors = paired_panels(W, z)
    for task in numba.prange(len(grad_W)):
        totals = grad_W[task], grad_b[task]
        _backward_tiles(np.int64(task), share, of_gelu, factors, *totals, x, z, after, scale, grad, grad_x)


@internal
def _backward_tiles(task, share, of_gelu, W, grad_W, grad_b, x, z, after, scale, grad, grad_x):
    """Gradients of a task's tiles: of the value by way of g, or of x directly, and of the gate by way of g."""
    H = x.shape[2]
    g, slope, grad_z, grad_g, direct = rows(x, z, H), rows(x, z, H), rows(x, z, H), rows(x, z, H), rows(x, z, H)
    of_value, of_other = (grad_g, direct) if of_gelu else (direct, grad_g)
    grad_W[:], grad_b[:] = 0, 0
    for number in range(task * share, min((task + 1) * share, tiles_of(z))):
        i, low, high = tile(number, z)
        of_other[:] = 0
        for k in range(low, high):
            r = k - low
            _gelu_and_slope(x[i, k], row_of(after, i, k), g[r], slope[r])
            value = g[r] if of_gelu else x[i, k]
            _gate_back(value, z[i, k], row_of(scale, i, k), row_of(grad, i, k), of_value[r], grad_z[r], grad_b)
        steps = grad_z[: high - low]
        add_matrix_product(paired_down(steps, z).T, paired_down(g[: high - low], z), grad_W)
        add_matrix_product(paired_across(steps, z), W, grad_g[: high - low])
        for k in range(low, high):
            _add_product(direct[k - low], grad_g[k - low], slope[k - low], grad_x[i, k])


@inline
def _gelu_and_slope(x, after, g, slope):
    for n in range(len(g)):
        value, derivative = tanh_gelu_and_slope(x[n])
        g[n], slope[n] = after[n] * value, after[n] * derivative


@inline
def _gate_back(value, z, factor, grad, of_value, of_z, of_bias):
    for n in range(len(z)):
        s, slope = logistic_and_slope(wide(z[n]))
        of_value[n] = factor[n] * grad[n] * s
        of_z[n] = factor[n] * grad[n] * value[n] * slope
        of_bias[n] += of_z[n]


@inline
def _add_product(a, b, c, out):
    for n in range(len(out)):
        out[n] = a[n] + b[n] * c[n]
