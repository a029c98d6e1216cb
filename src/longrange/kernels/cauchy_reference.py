"""The Cauchy sums in plain complex arithmetic: obviously right, differentiated by autograd, memory O(H N K)."""

import torch
from torch import Tensor


def cauchy_reference(v: Tensor, Lambda: Tensor, y: Tensor) -> Tensor:
    """Sums over conjugate pairs of poles, one term per pole.

    Args:
        v: (J, 2, H, N) weights.
        Lambda: (2, H, N) poles.
        y: (K,), the points z = i y.
    Returns:
        (J, 2, H, K).
    """
    weights = torch.complex(v[:, 0], v[:, 1]).transpose(0, 1)
    poles = torch.complex(Lambda[0], Lambda[1]).unsqueeze(-1)
    z = torch.complex(torch.zeros_like(y), y)
    sums = weights @ (1 / (z - poles)) + weights.conj() @ (1 / (z - poles.conj()))
    return torch.stack([sums.real, sums.imag]).permute(2, 0, 1, 3)
