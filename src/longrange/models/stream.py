"""A trained model on a stream: scores after every step, at a cost that does not grow with what came before."""

from typing import NamedTuple, cast

from torch import Tensor

from longrange.layers.base import Recurrence
from longrange.models.block import ResidualBlock
from longrange.models.classifier import SequenceClassifier


class StreamState(NamedTuple):
    """What a stream remembers of the past.

    Attributes:
        layers: state of each block's layer, real, batch first.
        pooled: (B, H), the sum of the features of all steps so far, or those of the last step.
        steps: how many there were; a tensor in a `StepProgram`.
    """

    layers: tuple[Tensor, ...]
    pooled: Tensor
    steps: int | Tensor


class Stream:
    """A classifier in its recurrent mode, discretised once.

    Args:
        model: in evaluation mode, its layers not bidirectional, its task not paired.
        rate: factor on the time step, see `SequenceLayer.forward`.
    Raises:
        ValueError: the model cannot run step by step.
    """

    def __init__(self, model: SequenceClassifier, rate: float = 1.0):
        if model.training:
            raise ValueError("the model is in training mode, where norms see whole batches; call model.eval() first")
        if model.spec.paired:
            raise ValueError(f"task {model.spec.name} compares two sequences; a stream has one")
        self.model = model
        self.blocks = cast(list[ResidualBlock], list(model.blocks))
        self.layers = [block.layer.recurrence(rate) for block in self.blocks]

    def initial_state(self, batch: int) -> StreamState:
        """The state before the first step of `batch` streams."""
        states = tuple(layer.initial_state(batch) for layer in self.layers)
        pooled = next(self.model.head.parameters()).new_zeros(batch, self.model.d_model)
        return StreamState(states, pooled, 0)

    def step(self, inputs: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """One step of each stream.

        Args:
            inputs: (B,) int64 ids or (B, C) float.
            state: as from `initial_state`, `step` or `prefill`.
        Returns:
            (B, output_size) scores of all that came so far, and the state after this step.
        """
        return self.prefill(inputs.unsqueeze(1), state)

    def prefill(self, inputs: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """A chunk of each stream, in parallel.

        Args:
            inputs: (B, L) int64 ids or (B, L, C) float.
            state: as from `initial_state`, `step` or `prefill`.
        Returns:
            (B, output_size) scores after the chunk, and the state after it.
        """
        x = self.model.encoder(inputs)
        states = []
        for block, layer, before in zip(self.blocks, self.layers, state.layers, strict=True):
            after = _Remember(layer, before)
            x = block.around(after, x)
            states.append(after.state)
        x = self.model.final_norm(x)
        steps = state.steps + x.shape[1]
        if self.model.pooling == "mean":
            total = state.pooled + x.sum(1)
            return self.model.head(total / steps), StreamState(tuple(states), total, steps)
        return self.model.head(x[:, -1]), StreamState(tuple(states), x[:, -1].clone(), steps)


class _Remember:
    """A recurrence as a function of its input alone, which keeps the state that it leaves."""

    def __init__(self, layer: Recurrence, state: Tensor):
        self.layer, self.state = layer, state

    def __call__(self, u: Tensor) -> Tensor:
        """Outputs of the chunk u, (B, L, H)."""
        if u.shape[1] > 1:
            y, self.state = self.layer.prefill(u, self.state)
            return y
        y, self.state = self.layer.step(u.squeeze(1), self.state)
        return y.unsqueeze(1)
