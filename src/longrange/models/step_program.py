"""One step of a stream as a program of real tensors, for runtimes that know nothing of this package."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from longrange.models.classifier import SequenceClassifier
from longrange.models.stream import Stream, StreamState

Tensors = tuple[Tensor, ...]


class StepProgram(nn.Module):
    """`Stream.step` with a state of plain tensors, which torch.export can trace.

    Args:
        model: as for `Stream`; the program has a copy, without what only whole sequences need.
        rate: factor on the time step.
    Raises:
        ValueError: the model cannot run step by step.
    """

    def __init__(self, model: SequenceClassifier, rate: float = 1.0):
        super().__init__()
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.stream = Stream(self.model, rate)
        for block in self.model.blocks:
            block.layer = nn.Identity()  # the stream has it discretised

    def initial_state(self, batch: int) -> Tensors:
        """What `forward` takes as `state` before the first step."""
        layers, pooled, steps = self.stream.initial_state(batch)
        return torch.tensor(steps), pooled, *layers

    def forward(self, inputs: Tensor, *state: Tensor) -> Tensors:
        """One step of each stream.

        Args:
            inputs: (B,) int64 ids or (B, C) float.
            state: number of steps so far, () int64; pooled features, (B, H); state of each layer, batch first.
        Returns:
            (B, output_size) scores, then the state after this step, in the same order.
        """
        steps, pooled, *layers = state
        scores, after = self.stream.step(inputs, StreamState(tuple(layers), pooled, steps))
        return scores, torch.as_tensor(after.steps), after.pooled, *after.layers

    def example(self, batch: int = 2) -> Tensors:
        """Arguments of `forward`: random inputs of the task's kind, and the initial state."""
        spec, state = self.model.spec, self.initial_state(batch)
        if spec.kind == "tokens":
            return torch.randint(spec.input_size, (batch,), device=state[1].device), *state
        return torch.randn(batch, spec.input_size).to(state[1]), *state

    def names(self) -> tuple[list[str], list[str]]:
        """Of what goes in and what comes out, in order."""
        state = ["steps", "pooled", *(f"state_{k}" for k in range(len(self.stream.layers)))]
        return ["inputs", *state], ["scores", *(f"{name}_after" for name in state)]

    def sizes(self) -> dict[str, Any]:
        """Which sizes of the arguments are any number, that of the streams, as torch.export wants to be told."""
        streams = {0: torch.export.Dim("streams")}
        inputs, *state = [streams if x.dim() else {} for x in self.example()]
        return {"inputs": inputs, "state": tuple(state)}

    def exported(self) -> torch.export.ExportedProgram:
        """The program for any number of streams."""
        return torch.export.export(self, self.example(), dynamic_shapes=self.sizes())
