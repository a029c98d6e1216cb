"""The activations of an S5 block: what follows the state-space layer inside the residual branch.

With x the layer's output and g = drop(gelu(x)), tanh-approximated, W with bias:
full_glu drop(W1 g * sigmoid(W2 g)); half_glu1 drop(g * sigmoid(W g)); half_glu2 drop(x * sigmoid(W g)); gelu g.
Source: the S5 code (SequenceLayer).
"""

from torch import Tensor, nn

from longrange.kernels import gated, gelu
from longrange.models.dense import Dense
from longrange.models.dropout import SharedDropout


def make_activation(name: str, d_model: int, dropout: float) -> nn.Module:
    """One of `ACTIVATIONS` by name.

    Raises:
        ValueError: an unknown name.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation={name!r}: must be one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name](d_model, dropout)


class Gelu(nn.Module):
    """drop(gelu(x))."""

    def __init__(self, d_model: int, dropout: float):
        super().__init__()
        self.drop = SharedDropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, H) to (B, L, H)."""
        return self.drop(gelu(x))


class HalfGlu1(Gelu):
    """drop(g * sigmoid(W g)): the activation gates itself."""

    def __init__(self, d_model: int, dropout: float):
        super().__init__(d_model, dropout)
        self.gate = Dense(d_model, d_model)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, H) to (B, L, H)."""
        g = super().forward(x)
        return self.drop(gated(g, self.gate(g)))


class HalfGlu2(HalfGlu1):
    """drop(x * sigmoid(W g)): the layer's output is gated, its activation decides."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, H) to (B, L, H)."""
        return self.drop(gated(x, self.gate(Gelu.forward(self, x))))


class FullGlu(HalfGlu1):
    """drop(W1 g * sigmoid(W2 g)): value and gate are both projected."""

    def __init__(self, d_model: int, dropout: float):
        super().__init__(d_model, dropout)
        self.value = Dense(d_model, d_model)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, H) to (B, L, H)."""
        g = Gelu.forward(self, x)
        return self.drop(gated(self.value(g), self.gate(g)))


ACTIVATIONS = {"full_glu": FullGlu, "half_glu1": HalfGlu1, "half_glu2": HalfGlu2, "gelu": Gelu}
