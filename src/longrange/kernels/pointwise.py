"""The pointwise work of a block: GELU in its tanh form, and the gate of a gated linear unit.

gelu(x) = x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)), gated(v, z) = v sigmoid(z). In float32 on the CPU each is one
pass over memory, forward and backward; elsewhere torch's own functions do the work.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from longrange.kernels import backend
from longrange.kernels import pointwise_cpu as cpu


def gelu(x: Tensor) -> Tensor:
    """The Gaussian error linear unit in its tanh form, (...) float."""
    return _Gelu.apply(x) if _suits_cpu(x) else F.gelu(x, approximate="tanh")


def gated(value: Tensor, gate: Tensor) -> Tensor:
    """value * sigmoid(gate), both (...) float of one shape."""
    return _Gated.apply(value, gate) if _suits_cpu(value, gate) else value * torch.sigmoid(gate)


def _suits_cpu(*tensors: Tensor) -> bool:
    return all(backend.resolve(t.device) == "cpu" and t.dtype == torch.float32 for t in tensors)


class _Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return cpu.gelu(x)

    @staticmethod
    def backward(ctx, grad):
        return cpu.gelu_backward(*ctx.saved_tensors, grad)


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value, gate):
        ctx.save_for_backward(value, gate)
        return cpu.gated(value, gate)

    @staticmethod
    def backward(ctx, grad):
        return cpu.gated_backward(*ctx.saved_tensors, grad)
