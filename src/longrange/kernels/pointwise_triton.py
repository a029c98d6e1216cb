"""GELU, gate and D u on a GPU, in Triton: one pass over memory each, forward and backward.

A program holds the tile of some steps of one sequence by some features, the features innermost, and keeps all that it
needs of it in registers. Tensors may differ in precision, as they do under autocast: arithmetic is in float32, or in
float64 where a tensor is, and a result is rounded once. A factor that is shared along batch or time is read again for
every step, from the cache. Gradients of vectors are summed per program and then, by torch, over programs: in a fixed
order, so that results repeat bit by bit.
"""

import triton
import triton.language as tl
from torch import Tensor

from longrange.kernels.triton_tools import common_dtype, launch, load_wide, tile, tiling, wide_dtype

_ELEMENTS = 2048  # of a tile: 16 per thread, so that half a dozen tensors fit into its registers


def gelu(x: Tensor, before: Tensor | None, after: Tensor | None, exact: bool) -> Tensor:
    """after * gelu(before * x), exact or in the tanh form."""
    y = x.new_empty(x.shape, dtype=common_dtype(x, before, after))
    _launch(_gelu, x, x.contiguous(), *_factor(before), *_factor(after), y, EXACT=exact)
    return y


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
    grad_x = x.new_empty(x.shape)
    factors = *_factor(before), *_factor(after)
    _launch(
        _gelu_backward,
        x,
        x.contiguous(),
        *factors,
        grad.contiguous(),
        _contiguous(other),
        _contiguous(direct),
        grad_x,
        EXACT=exact,
    )
    return grad_x


def gated(value: Tensor, gate: Tensor, bias: Tensor, scale: Tensor | None, skip: Tensor | None) -> Tensor:
    """skip + scale * value * sigmoid(gate + bias)."""
    y = value.new_empty(value.shape, dtype=common_dtype(value, gate, scale, skip))
    halves = value.contiguous(), gate.contiguous(), None, bias.contiguous()
    _launch(_gated, y, *halves, *_factor(scale), _contiguous(skip), y, y.shape[-1])
    return y


def gated_backward(
    value: Tensor, gate: Tensor, bias: Tensor, scale: Tensor | None, grad: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `gated` in value, gate and bias."""
    grad_value, grad_gate, sums = value.new_empty(value.shape), gate.new_empty(gate.shape), _sums(grad, bias)
    halves = value.contiguous(), gate.contiguous(), None, bias.contiguous()
    tensors = *halves, *_factor(scale), grad.contiguous(), grad_value, grad_gate, None, sums
    _launch(_gated_backward, grad, *tensors, grad.shape[-1])
    return grad_value, grad_gate, sums.sum(0).to(bias.dtype)


def glu(z: Tensor, bias: Tensor, scale: Tensor | None, skip: Tensor | None) -> Tensor:
    """skip + scale * value * sigmoid(gate), value and gate the two halves of z + bias."""
    y = z.new_empty(*z.shape[:-1], z.shape[-1] // 2, dtype=common_dtype(z, scale, skip))
    halves = *z.contiguous().chunk(2, -1), *bias.contiguous().chunk(2)
    _launch(_gated, y, *halves, *_factor(scale), _contiguous(skip), y, z.shape[-1])
    return y


def glu_backward(z: Tensor, bias: Tensor, scale: Tensor | None, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `glu` in z and bias."""
    grad_z, sums = z.new_empty(z.shape), _sums(grad, bias)
    halves = *z.contiguous().chunk(2, -1), *bias.contiguous().chunk(2)
    tensors = *halves, *_factor(scale), grad.contiguous(), *grad_z.chunk(2, -1), *sums.chunk(2, -1)
    _launch(_gated_backward, grad, *tensors, z.shape[-1])
    return grad_z, sums.sum(0).to(bias.dtype)


def scaled_backward(D: Tensor, u: Tensor, grad: Tensor, other: Tensor | None) -> tuple[Tensor, Tensor]:
    """Gradients in D and u from that of D u; other is added to the latter."""
    grad_u, sums = u.new_empty(u.shape), _sums(grad, D)
    inputs = D.contiguous(), u.contiguous(), grad.contiguous(), _contiguous(other)
    _launch(_scaled_backward, u, *inputs, grad_u, sums)
    return sums.sum(0).to(D.dtype), grad_u


def _launch(kernel, like: Tensor, *arguments, **constants) -> None:
    """Run over the tiles of `like`, whose L and H end the kernel's arguments."""
    cut = tiling(like, _ELEMENTS)
    launch(kernel, cut.grid, *arguments, *cut.sizes, **cut.tile, **constants)


def _factor(factor: Tensor | None) -> tuple[Tensor | None, int, int]:
    """A factor, and by how many of its rows a sequence and a step are apart: by none where they share one."""
    if factor is None:
        return None, 0, 0
    batch, length = (1, 1, *factor.shape)[-3:-1]
    return factor.contiguous(), length if batch > 1 else 0, 1 if length > 1 else 0


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


def _sums(grad: Tensor, vector: Tensor) -> Tensor:
    """Where each row of programs over `grad` leaves its share of the gradient of `vector`."""
    return grad.new_empty(tiling(grad, _ELEMENTS).rows, len(vector), dtype=wide_dtype(grad, vector))


@triton.jit
def _factor_of(factor, per_sequence, per_step, sequence, step, n, H, mask):
    return 1.0 if factor is None else load_wide(factor + (sequence * per_sequence + step * per_step) * H + n, mask)


@triton.jit
def _logistic_and_slope(v):
    """Of gelu(v) = v s: s and the derivative of v s, in the tanh form. 1.59... is 2 sqrt(2 / pi)."""
    s = tl.sigmoid(v * 1.5957691216057308 * (1 + v * v * 0.044715))
    return s, s + v * s * (1 - s) * 1.5957691216057308 * (1 + v * v * 0.134145)


@triton.jit
def _normal_and_slope(v):
    """Of gelu(v) = v s: s and the derivative of v s, exact. 0.70... is 1 / sqrt(2), 0.39... is 1 / sqrt(2 pi)."""
    s = 0.5 + 0.5 * tl.erf(v * 0.7071067811865476)
    return s, s + v * tl.exp(-0.5 * v * v) * 0.3989422804014327


@triton.jit
def _gelu(
    x, before, before_sequence, before_step, after, after_sequence, after_step, y, L, H,
    EXACT: tl.constexpr, STEPS: tl.constexpr, FEATURES: tl.constexpr,
):  # fmt: skip
    sequence, _, step, n = tile(L, H, STEPS, FEATURES)
    at, mask = (sequence * L + step) * H + n, (step < L) & (n < H)
    v = load_wide(x + at, mask) * _factor_of(before, before_sequence, before_step, sequence, step, n, H, mask)
    if EXACT:
        s, _ = _normal_and_slope(v)
    else:
        s, _ = _logistic_and_slope(v)
    factor = _factor_of(after, after_sequence, after_step, sequence, step, n, H, mask)
    tl.store(y + at, v * s * factor, mask=mask)


@triton.jit
def _gelu_backward(
    x, before, before_sequence, before_step, after, after_sequence, after_step, grad, other, direct, grad_x, L, H,
    EXACT: tl.constexpr, STEPS: tl.constexpr, FEATURES: tl.constexpr,
):  # fmt: skip
    sequence, _, step, n = tile(L, H, STEPS, FEATURES)
    at, mask = (sequence * L + step) * H + n, (step < L) & (n < H)
    inner = _factor_of(before, before_sequence, before_step, sequence, step, n, H, mask)
    v = load_wide(x + at, mask) * inner
    if EXACT:
        _, slope = _normal_and_slope(v)
    else:
        _, slope = _logistic_and_slope(v)
    factor = _factor_of(after, after_sequence, after_step, sequence, step, n, H, mask)
    g = load_wide(grad + at, mask)
    if other is not None:
        g += load_wide(other + at, mask)
    to_x = g * slope * factor * inner
    if direct is not None:
        to_x += load_wide(direct + at, mask)
    tl.store(grad_x + at, to_x, mask=mask)


@triton.jit
def _half(values, biases, at, n, H, mask):
    """Value or gate with its bias."""
    value = load_wide(values + at, mask)
    return value if biases is None else value + load_wide(biases + n, n < H)


@triton.jit
def _gated(
    value, gate, value_bias, gate_bias, scale, scale_sequence, scale_step, skip, y, width, L, H,
    STEPS: tl.constexpr, FEATURES: tl.constexpr,
):  # fmt: skip
    """Rows of value and gate are `width` apart, those of y are H."""
    sequence, _, step, n = tile(L, H, STEPS, FEATURES)
    row, mask = sequence * L + step, (step < L) & (n < H)
    v = _half(value, value_bias, row * width + n, n, H, mask)
    s = tl.sigmoid(_half(gate, gate_bias, row * width + n, n, H, mask))
    out = v * s * _factor_of(scale, scale_sequence, scale_step, sequence, step, n, H, mask)
    if skip is not None:
        out += load_wide(skip + row * H + n, mask)
    tl.store(y + row * H + n, out, mask=mask)


@triton.jit
def _gated_backward(
    value, gate, value_bias, gate_bias, scale, scale_sequence, scale_step, grad, grad_value, grad_gate,
    value_sums, gate_sums, width, L, H,
    STEPS: tl.constexpr, FEATURES: tl.constexpr,
):  # fmt: skip
    """Rows of value, gate, their gradients and the sums of these are `width` apart, those of grad are H."""
    sequence, part, step, n = tile(L, H, STEPS, FEATURES)
    row, mask = sequence * L + step, (step < L) & (n < H)
    v = _half(value, value_bias, row * width + n, n, H, mask)
    s = tl.sigmoid(_half(gate, gate_bias, row * width + n, n, H, mask))
    g = load_wide(grad + row * H + n, mask)
    g *= _factor_of(scale, scale_sequence, scale_step, sequence, step, n, H, mask)
    to_value, to_gate = g * s, g * v * s * (1 - s)
    tl.store(grad_value + row * width + n, to_value, mask=mask)
    tl.store(grad_gate + row * width + n, to_gate, mask=mask)
    if value_sums is not None:
        tl.store(value_sums + part * width + n, tl.sum(to_value, 0)[None, :], mask=n < H)
    tl.store(gate_sums + part * width + n, tl.sum(to_gate, 0)[None, :], mask=n < H)


@triton.jit
def _scaled_backward(D, u, grad, other, grad_u, sums, L, H, STEPS: tl.constexpr, FEATURES: tl.constexpr):
    sequence, part, step, n = tile(L, H, STEPS, FEATURES)
    at, mask = (sequence * L + step) * H + n, (step < L) & (n < H)
    g = load_wide(grad + at, mask)
    to_u = g * load_wide(D + n, n < H)
    if other is not None:
        to_u += load_wide(other + at, mask)
    tl.store(grad_u + at, to_u, mask=mask)
    tl.store(sums + part * H + n, tl.sum(g * load_wide(u + at, mask), 0)[None, :], mask=n < H)
