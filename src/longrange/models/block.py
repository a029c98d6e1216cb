"""The residual block: norm, sequence layer, activation, skip connection."""

from collections.abc import Callable
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
        activation: one of those of `longrange.models.activation`.
        dropout: probability of dropping a feature of the branch.
        tie_dropout: drop it along the whole sequence; each step for itself where False.
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
        tie_dropout: bool = True,
        norm_momentum: float = 0.05,
    ):
        super().__init__()
        self.norm = make_norm(norm, d_model, norm_momentum)
        self.layer = layer
        self.activation = make_activation(activation, layer.d_output, d_model, dropout, tie_dropout)
        self.prenorm = prenorm

    def forward(self, x: Tensor, lengths: Tensor | None = None, rate: float = 1.0) -> Tensor:
        """(B, L, H) to (B, L, H); lengths and rate as for a sequence layer."""
        padded = None if self.prenorm and self.norm.clears_padding else lengths
        return self.around(lambda u: self.layer(u, padded, rate), x, lengths)

    def around(self, layer: Callable[[Tensor], Tensor], x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The block with `layer`, (B, L, H) to (B, L, d_output), in its layer's place."""
        if not self.prenorm:
            return self.norm(self.activation(layer(x), skip=x), lengths)
        branch, x = self.norm.fork(x, lengths)
        return self.activation(layer(branch), skip=x)
