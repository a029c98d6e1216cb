"""What a model learns from sequences without labels: which steps it predicts, and what the answers are.

Both objectives are those of "Never Train from Scratch" (arXiv 2310.02980, section 2): hidden steps for models that read
in both directions, the next step for those that read forwards.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor

from longrange.errors import ConfigError
from longrange.kernels import valid_steps
from longrange.models.block import ResidualBlock
from longrange.models.classifier import SequenceClassifier


class Objective(ABC):
    """A question about sequences, (B, L) int64 ids or (B, L, C) float, that they answer themselves.

    Attributes:
        name: as in configs/pretrain.
        hides: the steps that are predicted are hidden from the model, see `Reconstructor`.
    """

    name: ClassVar[str]
    hides: ClassVar[bool]

    @abstractmethod
    def check(self, model: SequenceClassifier) -> None:
        """Refuse a model that would see the answers.

        Raises:
            ConfigError: it does.
        """

    @abstractmethod
    def steps(self, inputs: Tensor, lengths: Tensor | None) -> Tensor:
        """At which steps of `inputs` the model predicts, (B, L) bool; never in the padding."""

    @abstractmethod
    def answers(self, inputs: Tensor, at: Tensor) -> Tensor:
        """What it should say at the n steps `at`, sequence by sequence: (n,) int64 or (n, C) float."""


@dataclass(frozen=True)
class Masked(Objective):
    """Tell what stood at hidden steps. Random numbers are torch's, of the inputs' device.

    Args:
        ratio: probability of a step to be hidden, the same for all, whatever the span.
        span: hidden steps in a row, at least (spans may touch or overlap; the ends of a sequence cut them).
    Raises:
        ConfigError: a ratio that hides nothing or everything, or a span below 1.
    """

    name: ClassVar[str] = "masked"
    hides: ClassVar[bool] = True

    ratio: float
    span: int

    def __post_init__(self):
        if not 0 < self.ratio < 1:
            raise ConfigError(f"pretrain.objective.ratio={self.ratio}: must be above 0 and below 1")
        if self.span < 1:
            raise ConfigError(f"pretrain.objective.span={self.span}: must be at least 1")

    def check(self, model: SequenceClassifier) -> None:
        """Any model will do: what is hidden is gone before the first block."""

    def steps(self, inputs: Tensor, lengths: Tensor | None) -> Tensor:
        """See `Objective.steps`."""
        B, L = inputs.shape[:2]
        # A step is hidden where a span begins at it or at one of the span - 1 steps before it, the first of which lie
        # before the sequence.
        begins = 1 - (1 - self.ratio) ** (1 / self.span)
        spans = torch.rand(B, L + self.span - 1, device=inputs.device) < begins
        return spans.unfold(1, self.span, 1).any(-1) & _valid(inputs, lengths)

    def answers(self, inputs: Tensor, at: Tensor) -> Tensor:
        """See `Objective.answers`."""
        return inputs[at]


@dataclass(frozen=True)
class Causal(Objective):
    """Tell the next step, at every step but the last."""

    name: ClassVar[str] = "causal"
    hides: ClassVar[bool] = False

    def check(self, model: SequenceClassifier) -> None:
        """Refuse a model that reads in both directions.

        Raises:
            ConfigError: it does.
        """
        if any(cast(ResidualBlock, block).layer.bidirectional for block in model.blocks):
            raise ConfigError(
                "pretrain=causal: the model reads sequences in both directions, so it sees the step that it should "
                "predict; add model.layer.bidirectional=false, or take pretrain=masked"
            )

    def steps(self, inputs: Tensor, lengths: Tensor | None) -> Tensor:
        """See `Objective.steps`."""
        has_next = _valid(inputs, lengths).roll(-1, 1)
        has_next[:, -1] = False
        return has_next

    def answers(self, inputs: Tensor, at: Tensor) -> Tensor:
        """See `Objective.answers`."""
        return inputs.roll(-1, 1)[at]


def _valid(inputs: Tensor, lengths: Tensor | None) -> Tensor:
    B, L = inputs.shape[:2]
    if lengths is None:
        return torch.ones(B, L, dtype=torch.bool, device=inputs.device)
    return valid_steps(lengths, L)
