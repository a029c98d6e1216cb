"""From the parameters of a diagonal system to the real matrices of its recurrence.

A layer does this anew in every step, on arrays so small that calling some thirty operations, and as many backward,
costs more than their work: on the CPU it is one function each way, on a GPU one launch. Sources: S5
(arXiv 2208.04933), section 2.1 for the rules; the gradients are those of `longrange.ssm.discretize`.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from longrange.kernels import backend, diagonal_system_cpu
from longrange.kernels.parts import parts
from longrange.kernels.shapes import check_fit
from longrange.ssm import DISCRETIZATIONS


def diagonal_system(
    rule: str, Lambda_re: Tensor, Lambda_im: Tensor, dt: Tensor, B: Tensor, C: Tensor, gain: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The discrete system x_k = A_bar x_{k-1} + B_bar u_k, y_k = gain Re(C x_k), in real form.

    Args:
        rule: "zoh" or "bilinear".
        Lambda_re: real parts of p eigenvalues, (p,) float.
        Lambda_im: imaginary parts, (p,).
        dt: time steps, (p,).
        B: (p, H, 2), real and imaginary parts.
        C: (H, directions p, 2), those of one or two directions one after another.
        gain: of the outputs.
    Returns:
        A_bar, (2, p); B_bar, (2 p, H), which takes inputs to the real, then the imaginary parts of states; and C,
        (H, directions 2 p), which takes these parts of each direction to outputs.
    Raises:
        ValueError: shapes that do not fit each other.
    """
    p, H, _ = B.shape
    fits = Lambda_re.shape == Lambda_im.shape == dt.shape == (p,) and len(C) == H and C.shape[1] % p == 0
    check_fit(fits, Lambda_re=Lambda_re, Lambda_im=Lambda_im, dt=dt, B=B, C=C)
    version = backend.resolve(B.device)
    if version == "reference":
        return diagonal_system_reference(rule, Lambda_re, Lambda_im, dt, B, C, gain)
    kernels = backend.triton_version("diagonal_system") if version == "triton" else diagonal_system_cpu
    return _System.apply(rule, Lambda_re, Lambda_im, dt, B, C, gain, kernels)


def diagonal_system_reference(
    rule: str, Lambda_re: Tensor, Lambda_im: Tensor, dt: Tensor, B: Tensor, C: Tensor, gain: float
) -> tuple[Tensor, Tensor, Tensor]:
    """As `diagonal_system`, in plain torch, differentiated by autograd."""
    A_bar, weight = DISCRETIZATIONS[rule](torch.complex(Lambda_re, Lambda_im), dt)
    B_bar = weight.unsqueeze(-1) * torch.view_as_complex(B)
    real, imaginary = C.unflatten(1, (-1, len(dt))).unbind(-1)
    rows = torch.stack([gain * real, -gain * imaginary], dim=2)
    return parts(A_bar), parts(B_bar).flatten(0, 1), rows.flatten(1)


class _System(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rule, Lambda_re, Lambda_im, dt, B, C, gain, kernels):
        ctx.save_for_backward(Lambda_re, Lambda_im, dt, B)
        ctx.rule, ctx.gain, ctx.kernels = rule, gain, kernels
        return kernels.system_forward(rule, Lambda_re, Lambda_im, dt, B, C, gain)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):
        *states, B = ctx.saved_tensors
        return None, *ctx.kernels.system_backward(ctx.rule, tuple(states), B, ctx.gain, grads), None, None
