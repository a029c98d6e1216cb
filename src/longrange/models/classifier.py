"""The model of every task: encoder, a stack of residual blocks, pooling over time, head."""

import copy
from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from longrange.errors import ConfigError
from longrange.layers.base import SequenceLayer, check_lengths
from longrange.models.block import ResidualBlock
from longrange.models.encoder import Encoder
from longrange.models.head import make_head
from longrange.models.norm import NoNorm
from longrange.models.pooling import POOLINGS
from longrange.models.recompute import through
from longrange.models.spec import TaskSpec


class SequenceClassifier(nn.Module):
    """Maps sequences to class scores or regression values.

    Args:
        spec: the task.
        d_model: H, features throughout the stack.
        n_layers: number of blocks.
        layer: builds one sequence layer from H.
        block: builds one residual block from H and its layer.
        encoder: builds the encoder from the task and H.
        pooling: "mean" over the valid steps or the "last" one.
        final_norm: a norm after the stack, of the blocks' kind; pre-norm S4 models have one.
        recompute: in training, keep only what passes between blocks and compute the rest again in the backward pass:
            memory of one block with its gradients instead of all blocks, for about a third more time.
    Raises:
        ConfigError: sizes below one, an unknown pooling, or arguments that a part refuses.
    """

    def __init__(
        self,
        spec: TaskSpec,
        d_model: int,
        n_layers: int,
        *,
        layer: Callable[[int], SequenceLayer],
        block: Callable[[int, SequenceLayer], ResidualBlock] = ResidualBlock,
        encoder: Callable[[TaskSpec, int], Encoder] = Encoder,
        pooling: Literal["mean", "last"] = "mean",
        final_norm: bool = False,
        recompute: bool = False,
    ):
        super().__init__()
        if min(d_model, n_layers) < 1:
            raise ConfigError(f"model.d_model={d_model}, model.n_layers={n_layers}: must be at least 1")
        if pooling not in POOLINGS:
            raise ConfigError(f"model.pooling={pooling}: must be one of {', '.join(POOLINGS)}")
        self.spec, self.d_model, self.pooling, self.pool = spec, d_model, pooling, POOLINGS[pooling]
        self.recompute = recompute
        self.encoder = encoder(spec, d_model)
        try:
            blocks = [block(d_model, layer(d_model)) for _ in range(n_layers)]
            for built in blocks:
                built.layer.attune(spec.max_length)
        except ValueError as problem:
            raise ConfigError(f"model: {problem}") from problem
        self.blocks = nn.ModuleList(blocks)
        self.final_norm = copy.deepcopy(blocks[-1].norm) if final_norm else NoNorm()
        self.head = make_head(spec, d_model)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None, rate: float = 1.0) -> Tensor:
        """Scores of whole sequences.

        Args:
            inputs: (B, L) int64 ids or (B, L, C) float; (2B, ...) for a paired task.
            lengths: valid steps, (B,) int64, (2B,) for a paired task, each at least 1, all steps where it is above L;
                None where every step is valid.
            rate: factor on the time step, see `SequenceLayer.forward`.
        Returns:
            (B, output_size) float: logits, or values for regression.
        Raises:
            ValueError: another number of lengths.
        """
        check_lengths(lengths, len(inputs))
        x = self.encoder(inputs, lengths)
        x = through(self.blocks, x, lengths, rate, recompute=self.recompute)
        return self.head(self.pool(self.final_norm(x, lengths), lengths))
