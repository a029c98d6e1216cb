"""The activations of the papers: what follows the state-space layer inside the residual branch.

With x the layer's output, drop a dropout and W with bias:
* S5: g = drop(gelu(x)), tanh-approximated. full_glu drop(W1 g * sigmoid(W2 g)); half_glu1 drop(g * sigmoid(W g));
  half_glu2 drop(x * sigmoid(W g)); gelu g. Source: the S5 code (SequenceLayer).
* S4: glu drop(v * sigmoid(z)) with (v, z) = W drop(gelu(drop(x))), exact. Source: the S4 code, version 4 (FFTConv,
  S4Block; the last drop is the residual branch's). S4D takes the same.
* S4 version 1 and LSSL: linear drop(W drop(gelu(x))), exact. Source: version 1 of the S4 code.
"""

import torch
from torch import Tensor, nn

from longrange.kernels import gated, gelu, gelu_fork, half_glu, mixed_glu
from longrange.models.dense import Dense, Linear
from longrange.models.dropout import Dropout


def make_activation(name: str, d_input: int, d_model: int, dropout: float, tie_dropout: bool = True) -> nn.Module:
    """One of `ACTIVATIONS` by name, called with its input (B, L, d_input) and what to add, (B, L, d_model).

    Args:
        name: "full_glu", "half_glu1", "half_glu2", "gelu", "glu" or "linear".
        d_input: features of the layer's output.
        d_model: H.
        dropout: probability of dropping.
        tie_dropout: drop a feature along the whole sequence instead of single elements.
    Raises:
        ValueError: an unknown name, or a layer of several channels and an activation that does not mix them.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation={name!r}: must be one of {', '.join(ACTIVATIONS)}")
    if d_input != d_model and name not in MIXING:
        raise ValueError(
            f"activation={name!r}: the layer has {d_input} outputs and d_model is {d_model}; "
            f"a layer of several channels takes {' or '.join(MIXING)}"
        )
    return ACTIVATIONS[name](d_input, d_model, Dropout(dropout, tie_dropout))


class Gelu(nn.Module):
    """drop(gelu(x))."""

    def __init__(self, d_input: int, d_model: int, drop: Dropout):
        super().__init__()
        self.drop = drop

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """skip + drop(gelu(x)), (B, L, H)."""
        return skip + gelu(x, self.drop.scale(x))


class HalfGlu1(nn.Module):
    """drop(g * sigmoid(W g)): the activation gates itself."""

    def __init__(self, d_input: int, d_model: int, drop: Dropout):
        super().__init__()
        self.drop = drop
        self.gate = Dense(d_model, d_model)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """skip + drop(g * sigmoid(W g)), (B, L, H)."""
        return self._half_glu(x, skip, of_gelu=True)

    def _half_glu(self, x: Tensor, skip: Tensor, *, of_gelu: bool) -> Tensor:
        """skip + drop(v * sigmoid(W g)), v being g or x."""
        after, scale = self.drop.scale(x), self.drop.scale(x)
        return half_glu(x, self.gate.weight, self.gate.bias, skip, after, scale, of_gelu=of_gelu)


class HalfGlu2(HalfGlu1):
    """drop(x * sigmoid(W g)): the layer's output is gated, its activation decides."""

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """skip + drop(x * sigmoid(W g)), (B, L, H)."""
        return self._half_glu(x, skip, of_gelu=False)


class FullGlu(HalfGlu1):
    """drop(W1 g * sigmoid(W2 g)): value and gate are both projected."""

    def __init__(self, d_input: int, d_model: int, drop: Dropout):
        super().__init__(d_input, d_model, drop)
        self.value = Dense(d_model, d_model)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """skip + drop(W1 g * sigmoid(W2 g)), (B, L, H)."""
        g, same, _ = gelu_fork(x, self.drop.scale(x))
        return gated(self.value(g), same, self.gate.weight, self.gate.bias, self.drop.scale(x), skip)


class Glu(nn.Module):
    """drop(v * sigmoid(z)), (v, z) = W drop(gelu(drop(x))): one projection of all channels to value and gate."""

    def __init__(self, d_input: int, d_model: int, drop: Dropout):
        super().__init__()
        self.drop = drop
        self.mix = Linear(d_input, 2 * d_model)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """skip, (B, L, H), + drop(v * sigmoid(z)) of x, (B, L, d_input)."""
        after, before, scale = self.drop.scale(x), self.drop.scale(x), self.drop.scale(skip)
        return mixed_glu(x, self.mix.weight, self.mix.bias, skip, before, after, scale)


class Mixed(nn.Module):
    """drop(W drop(gelu(x))): one projection of all channels."""

    def __init__(self, d_input: int, d_model: int, drop: Dropout):
        super().__init__()
        self.drop = drop
        self.mix = Linear(d_input, d_model)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """skip, (B, L, H), + drop(W drop(gelu(x))) of x, (B, L, d_input)."""
        _, g, _ = gelu_fork(x, self.drop.scale(x), exact=True)
        y = self.mix(g)
        scale = self.drop.scale(y)
        return skip + y if scale is None else torch.addcmul(skip, y, scale)


MIXING = {"glu": Glu, "linear": Mixed}
ACTIVATIONS = {"full_glu": FullGlu, "half_glu1": HalfGlu1, "half_glu2": HalfGlu2, "gelu": Gelu, **MIXING}
