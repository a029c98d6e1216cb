"""What a training step asks of a GPU, without one: on tensors that have a shape and no memory.

Kernels are not launched, everything else runs. Reading a number, which would make the program wait for a GPU, is an
error on such tensors; mixing them with tensors of the host is one here.
"""

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from longrange import kernels
from longrange.benchmarks.training_step import random_batch
from longrange.cli import compose
from longrange.training.build import build, build_task
from longrange.training.task import LOSSES
from tests.backends import interpreted, running

GPU = torch.device("meta")
COPIES = ("_to_copy", "copy_")  # the operations that may read the host's tensors


class Operations(TorchDispatchMode):
    """Counts what would be launched; views and fresh memory are not."""

    def __init__(self):
        super().__init__()
        self.launched, self.mixed = Counter(), set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        out = operation(*args, **(kwargs or {}))
        name, devices = operation._schema.name.removeprefix("aten::"), devices_of((args, kwargs, out))
        if len(devices) > 1 and name not in COPIES:
            self.mixed.add(name)
        returned = [each.alias_info for each in operation._schema.returns]
        is_view = any(alias is not None and not alias.is_write for alias in returned)
        if GPU in devices and not is_view and name != "_unsafe_view" and "empty" not in name:
            self.launched[name] += 1
        return out

    def launch(self, kernel, grid, *arguments, **constants):
        """In place of `triton_tools.launch`."""
        if devices_of(arguments) != {GPU}:
            self.mixed.add(kernel.fn.__name__)
        self.launched[f"{kernel.fn.__module__}.{kernel.fn.__name__}"] += 1


def devices_of(values):
    """Where the tensors among some values are; numbers may be the host's."""
    return {leaf.device for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor) and leaf.dim()}


@pytest.fixture
def operations(monkeypatch):
    """Counts the operations of what takes GPU for one."""
    counted = Operations()
    for file in Path(kernels.__file__).parent.glob("*_triton.py"):
        monkeypatch.setattr(f"longrange.kernels.{file.stem}.launch", counted.launch)
    monkeypatch.setattr("longrange.kernels.backend._check_triton", lambda device: None)
    real = torch.autocast  # refuses a device that it does not know
    monkeypatch.setattr(torch, "autocast", lambda device, **options: real("cpu", **options))
    return counted


def training_step(operations, *overrides):
    """Forward and backward pass of a full batch, all weights and buffers moved to GPU; gives the model."""
    cfg = compose("benchmark", [*overrides, "trainer=gpu"])
    spec = build(cfg.data).spec
    model = build_task(cfg, spec).model.to(GPU)
    batch = random_batch(spec, cfg.data.batch_size)
    inputs, lengths, targets = (t if t is None else t.to(GPU) for t in (batch.inputs, batch.lengths, batch.targets))
    with running("triton"), operations:
        LOSSES[spec.loss](model(inputs, lengths), targets).backward()
    return model


@interpreted
@pytest.mark.parametrize(
    ("experiment", "most"),
    [
        ("listops/s5", 42),
        ("retrieval/s5", 42),
        ("image/s5", 50),
        ("listops/s4_current", 150),
        ("image/s4_current", 150),
        ("bidmc_hr/s4d_lin", 105),
        ("pathx/s4d_inv", 105),
        ("smnist/lssl_fixed", 210),
    ],
)
def test_a_step_stays_on_the_gpu_and_starts_few_operations(experiment, most, operations):
    """`most`: operations that a further block adds, forward and backward together."""
    counts = []
    for n_layers in (1, 2):
        operations.launched.clear()
        model = training_step(operations, f"experiment={experiment}", f"model.n_layers={n_layers}")
        counts.append(operations.launched.total())
    assert not operations.mixed
    for name, parameter in model.named_parameters():
        assert parameter.grad.device == GPU, name
        assert parameter.grad.shape == parameter.shape, name
    assert any(name.startswith("longrange.") for name in operations.launched)
    assert 0 < counts[1] - counts[0] <= most, operations.launched


@interpreted
def test_what_this_would_notice(operations):
    with operations:
        with pytest.raises(RuntimeError, match="meta"):
            torch.zeros((), device=GPU).item()
        with pytest.raises(RuntimeError, match="not on the expected device"):
            torch.zeros(3, device=GPU) + torch.zeros(3)
        torch.zeros(3, 3, device=GPU) @ torch.zeros(3, 3)
    assert operations.mixed == {"mm"}
