"""The real matrices of a discretised diagonal system on a GPU, in Triton: one launch each way.

In plain torch some seventy operations on small arrays are launched in each step and layer, and starting them takes
longer than all else that a small model computes. As on the CPU, a rule gives A_bar(Lambda, dt) and the weight
g(Lambda, dt) of B, and both derivatives of each; these and the scalars of a state are in double precision. Sums are in
a fixed order: results repeat bit by bit.
"""

import triton
import triton.language as tl
from torch import Tensor

from longrange.kernels.triton_tools import launch, load_pair, store_pair, times, times_conjugate

_STATES, _FEATURES = 8, 64  # of a program's tile


def system_forward(
    rule: str, Lambda_re: Tensor, Lambda_im: Tensor, dt: Tensor, B: Tensor, C: Tensor, gain: float
) -> tuple[Tensor, Tensor, Tensor]:
    """See `diagonal_system`."""
    p, H, _ = B.shape
    D = C.shape[1] // p
    A_bar, B_bar, rows = B.new_empty(2, p), B.new_empty(2 * p, H), C.new_empty(H, 2 * D * p)
    grid = (triton.cdiv(p, _STATES), triton.cdiv(H, _FEATURES))
    tensors = [t.contiguous() for t in (Lambda_re, Lambda_im, dt, B, C)]
    launch(_forward, grid, *tensors, A_bar, B_bar, rows, p, H, **_constants(rule, gain, D))
    return A_bar, B_bar, rows


def system_backward(
    rule: str, states: tuple[Tensor, ...], B: Tensor, gain: float, grads: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Gradients in `states` (Lambda_re, Lambda_im, dt), B and C from those of what `system_forward` gives."""
    p, H, _ = B.shape
    D = grads[-1].shape[1] // (2 * p)
    small = [B.new_empty(p) for _ in range(3)]
    grad_B, grad_C = B.new_empty(p, H, 2), B.new_empty(H, D * p, 2)
    tensors = [t.contiguous() for t in (*states, B, *grads)]
    launch(_backward, (triton.cdiv(p, _STATES),), *tensors, *small, grad_B, grad_C, p, H, **_constants(rule, gain, D))
    return *small, grad_B, grad_C


def _constants(rule: str, gain: float, directions: int) -> dict:
    return {"ZOH": rule == "zoh", "GAIN": gain, "D": directions, "STATES": _STATES, "FEATURES": _FEATURES}


@triton.jit
def _expm1(x):
    """e^x - 1 without cancellation near x = 0: 14 terms of its series are exact to rounding below 1/2."""
    series = tl.full(x.shape, 1.0, x.dtype)
    for k in tl.static_range(14, 1, -1):
        series = 1 + series * x / k
    return tl.where(tl.abs(x) < 0.5, x * series, tl.exp(x) - 1)


@triton.jit
def _reciprocal(re, im):
    size = re * re + im * im
    return re / size, -im / size


@triton.jit
def _rule(re, im, dt, ZOH: tl.constexpr):
    """Real and imaginary parts of A_bar and of g."""
    if ZOH:
        # e^(Lambda dt) - 1 without cancellation.
        growth, half = _expm1(re * dt), tl.sin(im * dt / 2)
        more_re, more_im = growth * tl.cos(im * dt) - 2 * half * half, (growth + 1) * tl.sin(im * dt)
        inverse_re, inverse_im = _reciprocal(re, im)
        g_re, g_im = times(more_re, more_im, inverse_re, inverse_im)
        a_re, a_im = more_re + 1, more_im
    else:
        b_re, b_im = _reciprocal(1 - re * dt / 2, -im * dt / 2)
        g_re, g_im = b_re * dt, b_im * dt
        a_re, a_im = times(b_re, b_im, 1 + re * dt / 2, im * dt / 2)
    return a_re, a_im, g_re, g_im


@triton.jit
def _slopes(re, im, dt, a_re, a_im, g_re, g_im, ZOH: tl.constexpr):
    """Derivatives in Lambda of A_bar and of g, and that in dt of g; that in dt of A_bar is this one times Lambda."""
    if ZOH:
        inverse_re, inverse_im = _reciprocal(re, im)
        to_a_re, to_a_im, g_dt_re, g_dt_im = dt * a_re, dt * a_im, a_re, a_im
        to_g_re, to_g_im = times(dt * a_re - g_re, dt * a_im - g_im, inverse_re, inverse_im)
    else:
        b_re, b_im = _reciprocal(1 - re * dt / 2, -im * dt / 2)
        g_dt_re, g_dt_im = times(b_re, b_im, b_re, b_im)
        to_a_re, to_a_im = dt * g_dt_re, dt * g_dt_im
        to_g_re, to_g_im = dt / 2 * to_a_re, dt / 2 * to_a_im
    return to_a_re, to_a_im, to_g_re, to_g_im, g_dt_re, g_dt_im


@triton.jit
def _states(Lambda_re, Lambda_im, dt, n, p):
    """Lambda and dt in double precision; of states that do not exist, values that a rule can take."""
    re, im = tl.load(Lambda_re + n, mask=n < p, other=-1.0), tl.load(Lambda_im + n, mask=n < p, other=0.0)
    return re.to(tl.float64), im.to(tl.float64), tl.load(dt + n, mask=n < p, other=1.0).to(tl.float64)


@triton.jit
def _forward(
    Lambda_re, Lambda_im, dt, B, C, A_bar, B_bar, rows, p, H,
    ZOH: tl.constexpr, GAIN: tl.constexpr, D: tl.constexpr, STATES: tl.constexpr, FEATURES: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0) * STATES + tl.arange(0, STATES)
    re, im, step = _states(Lambda_re, Lambda_im, dt, n, p)
    a_re, a_im, g_re, g_im = _rule(re, im, step, ZOH)
    store_pair(A_bar + n, p, a_re, a_im, (n < p) & (tl.program_id(1) == 0))
    n, h = n[:, None], tl.program_id(1) * FEATURES + tl.arange(0, FEATURES)[None, :]
    at, mask = n * H + h, (n < p) & (h < H)
    b_re, b_im = load_pair(B + 2 * at, 1, mask)
    g_re, g_im = g_re.to(B.dtype.element_ty)[:, None], g_im.to(B.dtype.element_ty)[:, None]
    out_re, out_im = times(g_re, g_im, b_re, b_im)
    store_pair(B_bar + at, p * H, out_re, out_im, mask)
    for d in tl.static_range(D):
        c_re, c_im = load_pair(C + 2 * ((h * D + d) * p + n), 1, mask)
        store_pair(rows + (h * D + d) * 2 * p + n, p, GAIN * c_re, -GAIN * c_im, mask)


@triton.jit
def _backward(
    Lambda_re, Lambda_im, dt, B, grad_A_bar, grad_B_bar, grad_rows, grad_re, grad_im, grad_dt, grad_B, grad_C, p, H,
    ZOH: tl.constexpr, GAIN: tl.constexpr, D: tl.constexpr, STATES: tl.constexpr, FEATURES: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0) * STATES + tl.arange(0, STATES)
    re, im, step = _states(Lambda_re, Lambda_im, dt, n, p)
    a_re, a_im, g_re, g_im = _rule(re, im, step, ZOH)
    row = n[:, None]
    weight_re, weight_im = g_re.to(B.dtype.element_ty)[:, None], g_im.to(B.dtype.element_ty)[:, None]
    sum_re = tl.zeros((STATES, FEATURES), dtype=B.dtype.element_ty)
    sum_im = sum_re
    for low in range(0, H, FEATURES):
        h = low + tl.arange(0, FEATURES)[None, :]
        at, mask = row * H + h, (row < p) & (h < H)
        b_re, b_im = load_pair(B + 2 * at, 1, mask)
        to_re, to_im = load_pair(grad_B_bar + at, p * H, mask)
        b_grad_re, b_grad_im = times_conjugate(to_re, to_im, weight_re, weight_im)
        store_pair(grad_B + 2 * at, 1, b_grad_re, b_grad_im, mask)
        g_grad_re, g_grad_im = times_conjugate(to_re, to_im, b_re, b_im)
        sum_re, sum_im = sum_re + g_grad_re, sum_im + g_grad_im
        for d in tl.static_range(D):
            c_re, c_im = load_pair(grad_rows + (h * D + d) * 2 * p + row, p, mask)
            store_pair(grad_C + 2 * ((h * D + d) * p + row), 1, GAIN * c_re, -GAIN * c_im, mask)
    to_g_re, to_g_im = tl.sum(sum_re, 1).to(tl.float64), tl.sum(sum_im, 1).to(tl.float64)
    to_a_re, to_a_im = load_pair(grad_A_bar + n, p, n < p)
    to_a_re, to_a_im = to_a_re.to(tl.float64), to_a_im.to(tl.float64)
    a_re, a_im, g_re, g_im, dt_re, dt_im = _slopes(re, im, step, a_re, a_im, g_re, g_im, ZOH)
    by_a_re, by_a_im = times_conjugate(to_a_re, to_a_im, a_re, a_im)
    by_g_re, by_g_im = times_conjugate(to_g_re, to_g_im, g_re, g_im)
    tl.store(grad_re + n, by_a_re + by_g_re, mask=n < p)
    tl.store(grad_im + n, by_a_im + by_g_im, mask=n < p)
    along_re, along_im = times(re, im, dt_re, dt_im)
    to_dt = to_a_re * along_re + to_a_im * along_im + to_g_re * dt_re + to_g_im * dt_im
    tl.store(grad_dt + n, to_dt, mask=n < p)
