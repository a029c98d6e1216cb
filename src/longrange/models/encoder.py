"""From a task's inputs to features: token ids or channels in, (B, L, H) out."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longrange.errors import ConfigError
from longrange.kernels import valid_steps
from longrange.models.dense import Dense
from longrange.models.spec import TaskSpec
from longrange.ssm import lecun_normal

Tokens = Literal["onehot", "embedding"]


class Encoder(nn.Module):
    """A table for tokens, a linear map for continuous inputs.

    Args:
        spec: the task.
        d_model: H.
        tokens: "onehot" is the dense layer on one-hot vectors of the S5 code (LeCun-normal rows and a bias);
            "embedding" is a table of standard-normal rows, as in the S4 code.
        width: rows of the token table, at least the task's number of ids, which it is where None; published
            models have spare rows.
    Raises:
        ConfigError: fewer rows than the task has ids, or an unknown kind of table.
    """

    def __init__(
        self,
        spec: TaskSpec,
        d_model: int,
        *,
        tokens: Tokens = "onehot",
        width: int | None = None,
    ):
        super().__init__()
        rows = spec.input_size if width is None else width
        if rows < spec.input_size:
            raise ConfigError(f"model.encoder.width={rows}: task {spec.name} has {spec.input_size} token ids")
        if tokens not in get_args(Tokens):
            raise ConfigError(f"model.encoder.tokens={tokens}: must be one of {', '.join(get_args(Tokens))}")
        self.map = Dense(spec.input_size, d_model) if spec.kind == "continuous" else _Table(rows, d_model, tokens)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Inputs (B, L) int64 or (B, L, C) float to features (B, L, H); what stands in the padding is not read."""
        if lengths is not None:
            padding = ~valid_steps(lengths, inputs.shape[1])
            inputs = inputs.masked_fill(padding.view(*padding.shape, *[1] * (inputs.dim() - 2)), 0)
        return self.map(inputs)


class _Table(nn.Module):
    def __init__(self, rows: int, d_model: int, tokens: Tokens):
        super().__init__()
        onehot = tokens == "onehot"
        self.table = nn.Parameter(lecun_normal(rows, d_model, fan_in=rows) if onehot else torch.randn(rows, d_model))
        self.bias = nn.Parameter(torch.zeros(d_model)) if onehot else None

    def forward(self, ids: Tensor) -> Tensor:
        # Adding the bias to the few rows is cheaper than adding it to every step.
        return F.embedding(ids, self.table if self.bias is None else self.table + self.bias)
