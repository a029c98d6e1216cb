"""The residual block: norm, sequence layer, activation, skip connection."""

from typing import Literal

from torch import Tensor, nn

from longrange.layers.base import SequenceLayer
from longrange.models.activation import make_activation
from longrange.models.norm import make_norm


class ResidualBlock(nn.Module):
    """x + activation(layer(norm(x))), or norm(x + activation(layer(x))).

    Args:
        d_model: H.
        layer: the sequence layer inside.
        norm: "batch" or "layer"; statistics of valid steps only.
        prenorm: normalise the branch's input instead of the block's output.
        activation: "full_glu", "half_glu1", "half_glu2" or "gelu", see `longrange.models.activation`.
        dropout: probability of dropping a feature, along the whole sequence.
        norm_momentum: weight of the newest batch in a batch norm's running statistics.
    """

    def __init__(
        self,
        d_model: int,
        layer: SequenceLayer,
        *,
        norm: Literal["batch", "layer"] = "batch",
        prenorm: bool = True,
        activation: str = "half_glu1",
        dropout: float = 0.0,
        norm_momentum: float = 0.05,
    ):
        super().__init__()
        self.norm = make_norm(norm, d_model, norm_momentum)
        self.layer = layer
        self.activation = make_activation(activation, d_model, dropout)
        self.prenorm = prenorm

    def forward(self, x: Tensor, lengths: Tensor | None = None, rate: float = 1.0) -> Tensor:
        """(B, L, H) to (B, L, H); lengths and rate as for a sequence layer."""
        branch = self.norm(x, lengths) if self.prenorm else x
        x = x + self.activation(self.layer(branch, lengths, rate))
        return x if self.prenorm else self.norm(x, lengths)
