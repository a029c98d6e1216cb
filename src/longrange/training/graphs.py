"""Training calls of one shape as CUDA graphs: recorded once, then replayed with one launch each way.

A step of a small model is hundreds of kernels of a few microseconds each; a GPU ends them faster than Python starts
them. Recorded are the model's forward and backward pass; loss, metrics, optimizer and random seeds stay outside, and
steps draw the numbers that they would have drawn.
"""

from collections.abc import Callable

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from longrange.errors import ConfigError
from longrange.models.spec import TaskSpec


class Replayed:
    """Calls of a model, of which those of a training at its own rate are replayed.

    They must all be of one shape and of full length; a call of another shape runs as it would without graphs.

    Args:
        model: called as model(inputs, lengths, rate).
        record: what `torch.cuda.make_graphed_callables` is; it calls the model several times.
    """

    def __init__(self, model: nn.Module, record: Callable = torch.cuda.make_graphed_callables):
        self.model, self.record = model, record
        self._recorded: Callable[[Tensor], Tensor] | None = None
        self._shape: torch.Size | None = None

    def __call__(self, inputs: Tensor, lengths: Tensor | None, rate: float) -> Tensor:
        """What the model gives: (B, output_size)."""
        if not self.model.training or lengths is not None or rate != 1.0:
            return self.model(inputs, lengths, rate)
        if self._recorded is None:
            self._recorded, self._shape = self._record(inputs), inputs.shape
        return self._recorded(inputs) if inputs.shape == self._shape else self.model(inputs, lengths, rate)

    def _record(self, inputs: Tensor) -> Callable[[Tensor], Tensor]:
        """The graphs; buffers and random numbers are left as they were before the calls that recording takes."""
        devices = [inputs.device] if inputs.is_cuda else []
        before = [(buffer, buffer._version, buffer.clone()) for buffer in self.model.buffers()]
        with torch.random.fork_rng(devices):
            recorded = self.record(_TrainingCall(self.model), (inputs.clone(),))
        for buffer, version, value in before:
            if buffer._version != version:  # writing to others would end what layers keep of them, and graphs read
                buffer.copy_(value)
        return recorded


class _TrainingCall(nn.Module):
    """A model as a function of tensors alone, as recording wants it."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        return self.model(inputs, None, 1.0)


def check_graphs(trainer: pl.Trainer, spec: TaskSpec, *, recompute: bool) -> None:
    """Refuse what graphs cannot do.

    Args:
        trainer: of the training.
        spec: of its task.
        recompute: whether the model computes blocks again in the backward pass.
    Raises:
        ConfigError: no GPU, several processes, accumulated batches, sequences of several lengths, or blocks that are
            computed again.
    """
    if recompute:
        # Computing a block again draws its random numbers again, and their state cannot be set while recording.
        raise ConfigError("graphs=true: not with model.recompute=true")
    if spec.variable_length:
        raise ConfigError(f"graphs=true: sequences of {spec.name} differ in length, and a graph has one shape")
    if trainer.strategy.root_device.type != "cuda":
        raise ConfigError(f"graphs=true: records what a GPU does, this is {trainer.strategy.root_device}; trainer=gpu")
    if trainer.world_size > 1:
        raise ConfigError(f"graphs=true: for one process, not {trainer.world_size}; trainer=gpu")
    if trainer.accumulate_grad_batches > 1:
        # A replay writes its gradients where the last one has left them, before they are added up.
        raise ConfigError("graphs=true: not with accumulate above 1")
