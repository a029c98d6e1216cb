"""Dropout as a factor, so that the kernel which makes the features can apply it in the same pass."""

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Drops features of sequences (B, L, H) and scales the others by 1 / (1 - p).

    Args:
        p: probability of dropping, in [0, 1).
        tied: one decision per sequence and feature, shared along time (S4 and S5); one per element where False (LSSL).
    Raises:
        ValueError: p out of range.
    """

    def __init__(self, p: float, tied: bool = True):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout={p}: must be at least 0 and below 1")
        self.p, self.tied = p, tied

    def scale(self, x: Tensor) -> Tensor | None:
        """What to multiply x with, newly drawn: (B, 1, H) or (B, L, H), of x's dtype; None where nothing is dropped."""
        if not self.training or self.p == 0:
            return None
        like = x[:, :1] if self.tied else x
        return torch.empty_like(like, memory_format=torch.contiguous_format).bernoulli_(1 - self.p).div_(1 - self.p)

    def extra_repr(self) -> str:
        """Settings in the module's printed form."""
        return f"p={self.p}, tied={self.tied}"
