"""GELU and gate on the CPU in Numba, float32: one pass over memory each, forward and backward.

What a matrix product gives or takes may be bfloat16 in memory.

Work is cut into tasks of some steps of one sequence; the innermost loop runs over the features of one step. Factors and
addends may be shared along batch and time: their one row then stays in the first-level cache.
"""

import numba
import numpy as np
import torch
from torch import Tensor

from longrange.kernels.numba_tools import (
    arrays,
    exp,
    inline,
    logistic,
    logistic_and_slope,
    narrowed,
    one_step,
    parallel,
    wide,
)

_ELEMENTS = 16384  # per task, about
_CUBIC = np.float32(0.044715)
_SLOPE = np.float32(2 * 0.7978845608028654)
_HALF, _ONE, _THREE = np.float32(0.5), np.float32(1), np.float32(3)


def gelu(x: Tensor, before: Tensor | None, after: Tensor | None, exact: bool) -> Tensor:
    """after * gelu(before * x), exact or in the tanh form."""
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    _gelu(*as_steps(x, factor_of(before, x), factor_of(after, x), y, x.new_empty(0)), exact)
    return y


def gelu_and_copy(x: Tensor, before: Tensor | None, after: Tensor | None, exact: bool) -> tuple[Tensor, Tensor]:
    """`gelu`, and the same in bfloat16."""
    y, copy = (torch.empty_like(x, dtype=t, memory_format=torch.contiguous_format) for t in (x.dtype, torch.bfloat16))
    _gelu(*as_steps(x, factor_of(before, x), factor_of(after, x), y, copy), exact)
    return y, copy


def gelu_backward(
    x: Tensor,
    before: Tensor | None,
    after: Tensor | None,
    exact: bool,
    grad: Tensor,
    other: Tensor | None,
    direct: Tensor | None,
) -> Tensor:
    """Gradient of `gelu` in x: direct plus that by way of its result, whose gradient is grad + other."""
    grad_x = torch.empty_like(x, memory_format=torch.contiguous_format)
    factors, addends = (factor_of(before, x), factor_of(after, x)), (_addend(other, x), _addend(direct, x))
    _gelu_backward(*as_steps(x, *factors, grad, *addends, grad_x), exact)
    return grad_x


def gated(value: Tensor, gate: Tensor, bias: Tensor, scale: Tensor | None, skip: Tensor | None) -> Tensor:
    """skip + scale * value * sigmoid(gate + bias)."""
    y = torch.empty_like(value, memory_format=torch.contiguous_format)
    _gated(*as_steps(value, gate, torch.zeros_like(bias), bias, factor_of(scale, y), _addend(skip, y), y))
    return y


def gated_backward(
    value: Tensor, gate: Tensor, bias: Tensor, scale: Tensor | None, grad: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `gated` in value, gate and bias."""
    grad_value, grad_gate = (torch.empty_like(t, memory_format=torch.contiguous_format) for t in (value, gate))
    sums = _sums(grad, bias)
    biases = torch.zeros_like(bias), bias
    _gated_backward(
        *as_steps(value, gate, *biases, factor_of(scale, grad), one_step(grad), grad_value, grad_gate, sums)
    )
    return grad_value, grad_gate, sums.sum(0)


def glu(z: Tensor, bias: Tensor, scale: Tensor | None, skip: Tensor | None) -> Tensor:
    """skip + scale * value * sigmoid(gate), value and gate the two halves of z + bias."""
    y = bias.new_empty(*z.shape[:-1], z.shape[-1] // 2)
    _gated(*as_steps(z, z, *bias.chunk(2), factor_of(scale, y), _addend(skip, y), y))
    return y


def glu_backward(z: Tensor, bias: Tensor, scale: Tensor | None, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `glu` in z and bias."""
    grad_z, sums = torch.empty_like(z, memory_format=torch.contiguous_format), _sums(grad, bias)
    _gated_backward(*as_steps(z, z, *bias.chunk(2), factor_of(scale, grad), one_step(grad), grad_z, grad_z, sums))
    return grad_z, sums.sum(0)


def add_scaled(y: Tensor, D: Tensor, u: Tensor) -> Tensor:
    """y + D u."""
    out = torch.empty_like(u, memory_format=torch.contiguous_format)
    _add_scaled(*as_steps(y, D, u, out))
    return out


def scaled_backward(D: Tensor, u: Tensor, grad: Tensor, other: Tensor | None) -> tuple[Tensor, Tensor]:
    """Gradients in D and u from that of D u; other is added to the latter."""
    grad_u, sums = torch.empty_like(u, memory_format=torch.contiguous_format), _sums(grad, D)
    _scaled_backward(*as_steps(D, u, grad, _addend(other, u), grad_u, sums))
    return sums.sum(0), grad_u


def factor_of(scale: Tensor | None, like: Tensor) -> Tensor:
    """A factor of features; ones where there is none."""
    return like.new_ones(like.shape[-1]) if scale is None else scale


def _addend(skip: Tensor | None, like: Tensor) -> Tensor:
    return like.new_zeros(like.shape[-1]) if skip is None else skip


def _sums(steps: Tensor, like: Tensor) -> Tensor:
    """Where each task over `steps` leaves its sum; merged in a fixed order, whatever the number of threads."""
    batch, length, features = (1, 1, *steps.shape)[-3:]
    return like.new_zeros(batch * _plan(length, features)[0], len(like))


def as_steps(*tensors: Tensor) -> list[np.ndarray]:
    """As arrays (batch, time, features)."""
    return [a.reshape((1, 1, *a.shape)[-3:]) for a in arrays(*tensors)]


@inline
def _plan(length, features):
    """Tasks per sequence and steps per task."""
    steps = max(1, _ELEMENTS // max(1, features))
    return (length + steps - 1) // steps, steps


@inline
def row_of(a, i, k):
    """Features of sequence i at step k of an array that may be shared along both."""
    return a[i if a.shape[0] > 1 else 0, k if a.shape[1] > 1 else 0]


@parallel
def _gelu(x, before, after, y, copy, exact):
    tasks, steps = _plan(x.shape[1], x.shape[2])
    for task in numba.prange(len(x) * tasks):
        i, start = task // tasks, (task % tasks) * steps
        for k in range(start, min(start + steps, x.shape[1])):
            if exact:
                _exact_gelu(x[i, k], row_of(before, i, k), row_of(after, i, k), y[i, k])
            else:
                _tanh_gelu(x[i, k], row_of(before, i, k), row_of(after, i, k), y[i, k])
            row, again = y[i, k], row_of(copy, i, k)
            for n in range(len(again)):
                again[n] = narrowed(again, row[n])


@inline
def _tanh_gelu(x, before, after, y):
    for n in range(len(x)):
        y[n] = after[n] * tanh_gelu(before[n] * x[n])


@inline
def tanh_gelu(v):
    """GELU in its tanh form."""
    return v * logistic(_SLOPE * (v + _CUBIC * v * v * v))


@inline
def _exact_gelu(x, before, after, y):
    for n in range(len(x)):
        y[n] = after[n] * exact_gelu(before[n] * x[n])


@inline
def exact_gelu(v):
    """GELU with the error function."""
    return v * _normal(v)[0]


@parallel
def _gelu_backward(x, before, after, grad, other, direct, grad_x, exact):
    tasks, steps = _plan(x.shape[1], x.shape[2])
    for task in numba.prange(len(x) * tasks):
        i, start = task // tasks, (task % tasks) * steps
        for k in range(start, min(start + steps, x.shape[1])):
            b, a, g, o = row_of(before, i, k), row_of(after, i, k), grad[i, k], row_of(other, i, k)
            d = row_of(direct, i, k)
            if exact:
                _exact_gelu_slope(x[i, k], b, a, g, o, d, grad_x[i, k])
            else:
                _tanh_gelu_slope(x[i, k], b, a, g, o, d, grad_x[i, k])


@inline
def _tanh_gelu_slope(x, before, after, grad, other, direct, grad_x):
    for n in range(len(x)):
        _, slope = tanh_gelu_and_slope(before[n] * x[n])
        grad_x[n] = direct[n] + before[n] * after[n] * (wide(grad[n]) + wide(other[n])) * slope


@inline
def tanh_gelu_and_slope(v):
    """`tanh_gelu` and its derivative."""
    s, slope = logistic_and_slope(_SLOPE * (v + _CUBIC * v * v * v))
    return v * s, s + v * slope * _SLOPE * (_ONE + _THREE * _CUBIC * v * v)


@inline
def _exact_gelu_slope(x, before, after, grad, other, direct, grad_x):
    for n in range(len(x)):
        _, slope = exact_gelu_and_slope(before[n] * x[n])
        grad_x[n] = direct[n] + before[n] * after[n] * (wide(grad[n]) + wide(other[n])) * slope


@inline
def exact_gelu_and_slope(v):
    """`exact_gelu` and its derivative."""
    below, density = _normal(v)
    return v * below, below + v * density


@inline
def _normal(x):
    """The standard normal distribution function and its density.

    1 - below = e^(-x^2 / 2) t P(t) for x >= 0, with t = 1 / (1 + q x) and P a polynomial fitted to it: absolute error
    2e-7, most of it float32 rounding.
    """
    e = exp(-_HALF * x * x)
    t = _ONE / (_ONE + np.float32(0.3032004) * abs(x))
    p = np.float32(0.03691845)
    p = p * t + np.float32(-0.15689342)
    p = p * t + np.float32(0.19701138)
    p = p * t + np.float32(-0.04699554)
    p = p * t + np.float32(0.12546773)
    p = p * t + np.float32(0.10164949)
    p = p * t + np.float32(0.12193099)
    p = p * t + np.float32(0.12091094)
    tail = e * t * p
    return (tail if x < 0 else _ONE - tail), np.float32(0.3989422804014327) * e


@parallel
def _gated(value, gate, value_bias, gate_bias, scale, skip, y):
    """With H features in y: value is the first H of its row, gate the last H of its own."""
    tasks, steps = _plan(y.shape[1], y.shape[2])
    H, other = y.shape[2], gate.shape[2] - y.shape[2]
    for task in numba.prange(len(y) * tasks):
        i, start = task // tasks, (task % tasks) * steps
        b, c = value_bias[0, 0], gate_bias[0, 0]
        for k in range(start, min(start + steps, y.shape[1])):
            v, z, out = value[i, k, :H], gate[i, k, other:], y[i, k]
            factor, addend = row_of(scale, i, k), row_of(skip, i, k)
            for n in range(len(out)):
                out[n] = addend[n] + factor[n] * (wide(v[n]) + b[n]) * logistic(wide(z[n]) + c[n])


@parallel
def _gated_backward(value, gate, value_bias, gate_bias, scale, grad, grad_value, grad_gate, sums):
    """Rows as in `_gated`; sums, (1, tasks, ...), takes the sum of grad_gate's rows."""
    H, other = grad.shape[2], gate.shape[2] - grad.shape[2]
    tasks, steps = _plan(gate.shape[1], H)
    for task in numba.prange(len(gate) * tasks):
        i, start = task // tasks, (task % tasks) * steps
        b, c, total = value_bias[0, 0], gate_bias[0, 0], sums[0, task]
        for k in range(start, min(start + steps, gate.shape[1])):
            v, z, g, factor = value[i, k, :H], gate[i, k, other:], row_of(grad, i, k), row_of(scale, i, k)
            gv, gz, row = grad_value[i, k, :H], grad_gate[i, k, other:], grad_gate[i, k]
            for n in range(len(g)):
                s, slope = logistic_and_slope(wide(z[n]) + c[n])
                gv[n] = narrowed(gv, factor[n] * g[n] * s)
                gz[n] = narrowed(gz, factor[n] * g[n] * (wide(v[n]) + b[n]) * slope)
            for n in range(len(row)):
                total[n] += wide(row[n])


@parallel
def _add_scaled(y, D, u, out):
    tasks, steps = _plan(u.shape[1], u.shape[2])
    for task in numba.prange(len(u) * tasks):
        i, start = task // tasks, (task % tasks) * steps
        d = D[0, 0]
        for k in range(start, min(start + steps, u.shape[1])):
            a, b, to = y[i, k], u[i, k], out[i, k]
            for n in range(len(to)):
                to[n] = wide(a[n]) + d[n] * b[n]


@parallel
def _scaled_backward(D, u, grad, other, grad_u, sums):
    tasks, steps = _plan(u.shape[1], u.shape[2])
    for task in numba.prange(len(u) * tasks):
        i, start = task // tasks, (task % tasks) * steps
        d, total = D[0, 0], sums[0, task]
        for k in range(start, min(start + steps, u.shape[1])):
            b, g, o, to = u[i, k], grad[i, k], row_of(other, i, k), grad_u[i, k]
            for n in range(len(to)):
                to[n] = wide(o[n]) + d[n] * g[n]
                total[n] += b[n] * g[n]
