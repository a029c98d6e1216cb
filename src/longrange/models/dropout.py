"""Dropout as a factor, so that the kernel which makes the features can apply it in the same pass."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Part(NamedTuple):
    """Which examples of a batch are computed together, where it is cut among processes or in time.

    They are first, first + parts, first + 2 * parts, and so on: parts differ by one example at most.

    Attributes:
        first: position of the first of them in the batch, which is also the part's number.
        parts: how many the batch is cut into.
        batch_size: examples of the whole batch.
    """

    first: int
    parts: int
    batch_size: int

    @property
    def size(self) -> int:
        """Examples of this part."""
        return len(range(self.first, self.batch_size, self.parts))


class WholeBatchDraws:
    """Draws for whole batches of which a part is computed here: each part has the numbers that one process would draw.

    Args:
        part: the examples of this process.
        seed: of the step's draws, the same for all parts.
        device: of the tensors that are drawn.
    """

    def __init__(self, part: Part, seed: int, device: torch.device):
        self.part, self.generator = part, torch.Generator(device).manual_seed(seed)

    def bernoulli_(self, x: Tensor, p: float) -> Tensor:
        """Fill x, (B, ...) of the part or (2B, ...) of its pairs, with ones of probability p and zeros."""
        first, parts, batch_size = self.part
        whole = x.new_empty(len(x) // self.part.size, batch_size, *x.shape[1:])
        return x.copy_(whole.bernoulli_(p, generator=self.generator)[:, first::parts].flatten(0, 1))


class Dropout(nn.Module):
    """Drops features of sequences (B, L, H) and scales the others by 1 / (1 - p).

    Args:
        p: probability of dropping, in [0, 1).
        tied: one decision per sequence and feature, shared along time (S4 and S5); one per element where False (LSSL).
    Raises:
        ValueError: p out of range.

    Attributes:
        draws: where the numbers come from when a batch is computed in parts; torch's own generator where None.
    """

    def __init__(self, p: float, tied: bool = True):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout={p}: must be at least 0 and below 1")
        self.p, self.tied = p, tied
        self.draws: WholeBatchDraws | None = None

    def scale(self, x: Tensor) -> Tensor | None:
        """What to multiply x with, newly drawn: (B, 1, H) or (B, L, H), of x's dtype; None where nothing is dropped."""
        if not self.training or self.p == 0:
            return None
        scale = torch.empty_like(x[:, :1] if self.tied else x, memory_format=torch.contiguous_format)
        kept = scale.bernoulli_(1 - self.p) if self.draws is None else self.draws.bernoulli_(scale, 1 - self.p)
        return kept.div_(1 - self.p)

    def extra_repr(self) -> str:
        """Settings in the module's printed form."""
        return f"p={self.p}, tied={self.tied}"
