"""Timings on random inputs of a task's shape: what one training step costs, and where."""

from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

import torch
from lightning_fabric import Fabric
from omegaconf import DictConfig
from torch import Tensor
from torch.nn import functional as F

from longrange.data.batch import Batch
from longrange.data.module import SequenceDataModule
from longrange.errors import ConfigError
from longrange.kernels import linear
from longrange.models.dropout import Part
from longrange.models.spec import TaskSpec
from longrange.provenance import where_measured
from longrange.training.build import build, build_task, precision_of, precision_on
from longrange.training.peak_memory import peak_memory_bytes, reset_peak
from longrange.training.task import LOSSES


def check_counts(**counts: int) -> None:
    """Refuse numbers of a benchmark, by their names, that leave nothing to measure; `warmup` alone may be 0.

    Raises:
        ConfigError: names the first.
    """
    for name, count in counts.items():
        least = 0 if name == "warmup" else 1
        if count < least:
            raise ConfigError(f"benchmark.{name}={count}: must be at least {least}")


def check_rows(least: int, **rows: Sequence[int]) -> None:
    """Refuse rows of sizes, by their names, that are too short to measure along them, or hold what is no size.

    Args:
        least: different sizes that there must be.
        rows: sizes.
    Raises:
        ConfigError: names the first.
    """
    for name, sizes in rows.items():
        if len(set(sizes)) < least or min(sizes) < 1:
            many = {1: "one size", 2: "two sizes"}[least]
            raise ConfigError(f"benchmark.{name}={list(sizes)}: must be {many} or more, each at least 1")


def training_step(cfg: DictConfig, *, warmup: int, steps: int) -> dict[str, Any]:
    """Time whole training steps: forward, backward, optimizer.

    Args:
        cfg: as composed from configs/benchmark.yaml.
        warmup: steps before the clock starts.
        steps: timed steps.
    Returns:
        Median seconds per step, samples per second, peak memory, parameter count and what was run on.
    Raises:
        ConfigError: no steps to time.
    """
    check_counts(steps=steps, warmup=warmup)
    step = Step(cfg)
    reset_peak(step.fabric.device)
    for _ in range(warmup):
        step.run()
    seconds = median(seconds_of(step.run, step.fabric.device) for _ in range(steps))
    return {
        **where_run(cfg, step.fabric.device),
        "batch_size": step.data.batch_size,
        "length": step.data.spec.max_length,
        "n_parameters": step.n_parameters,
        "step_s": round(seconds, 4),
        "samples_per_s": round(step.data.batch_size / seconds, 3),
        "peak_memory_bytes": peak_memory_bytes(step.fabric.device),
    }


class Step:
    """One training step of a configuration, again and again, on one random batch of full length.

    Args:
        cfg: as composed from configs/benchmark.yaml.
        processes: how many share the batch; each computes its part, as a training with `trainer=ddp` cuts it.
        rank: which of them this is.
    """

    def __init__(self, cfg: DictConfig, processes: int = 1, rank: int = 0):
        self.data: SequenceDataModule = build(cfg.data)
        task = build_task(cfg, self.data.spec)
        self.fabric = Fabric(
            accelerator=cfg.trainer.accelerator,
            devices=processes,
            strategy="ddp" if processes > 1 else "auto",
            precision=precision_of(cfg.trainer),
        )
        self.fabric.launch()
        self.model, self.optimizer = self.fabric.setup(task.model, task.algorithm(task.groups()))
        self.n_parameters = sum(p.numel() for p in task.model.parameters())
        part = Part(rank, processes, self.data.batch_size)
        self.share = part.size * part.parts / part.batch_size
        self.batch = self.fabric.to_device(part_of(random_batch(self.data.spec, self.data.batch_size), part))

    def run(self) -> None:
        """Forward, backward, optimizer."""
        self.optimizer.zero_grad()
        outputs = self.model(self.batch.inputs, self.batch.lengths)
        self.fabric.backward(LOSSES[self.data.spec.loss](outputs, self.batch.targets) * self.share)
        self.optimizer.step()


def random_batch(spec: TaskSpec, batch_size: int) -> Batch:
    """Full-length random inputs and targets of a task, the same at every call."""
    draw = torch.Generator().manual_seed(0)
    rows = batch_size * (2 if spec.paired else 1)
    if spec.kind == "tokens":
        inputs = torch.randint(spec.input_size, (rows, spec.max_length), generator=draw)
    else:
        inputs = torch.randn(rows, spec.max_length, spec.input_size, generator=draw)
    lengths = torch.full((rows,), spec.max_length) if spec.variable_length else None
    if spec.loss == "cross_entropy":
        targets = torch.randint(spec.output_size, (batch_size,), generator=draw)
    else:
        targets = torch.randn(batch_size, spec.output_size, generator=draw)
    return Batch(inputs, lengths, targets)


def part_of(batch: Batch, part: Part) -> Batch:
    """The examples of a part of a batch; of a paired task, both sequences of each."""
    inputs, lengths = (
        rows if rows is None else rows.unflatten(0, (-1, part.batch_size))[:, part.first :: part.parts].flatten(0, 1)
        for rows in (batch.inputs, batch.lengths)
    )
    return Batch(inputs, lengths, batch.targets[part.first :: part.parts])


def projections(cfg: DictConfig, *, repeats: int) -> dict[str, Any]:
    """Time the square projection of the model on one batch, with the kernel in use and with torch's own linear.

    Args:
        cfg: as composed from configs/benchmark.yaml; a CPU trainer.
        repeats: timed pairs, taken in turn.
    Returns:
        Median seconds of both, forward and backward, and their ratio.
    Raises:
        ConfigError: no pairs to time.
    """
    check_counts(repeats=repeats)
    data = build(cfg.data)
    H = cfg.model.d_model
    x = torch.randn(data.batch_size, data.spec.max_length, H, requires_grad=True)
    weight = torch.randn(H, H, requires_grad=True)
    cotangent = torch.randn_like(x)

    def run(function: Callable[[Tensor, Tensor], Tensor]) -> None:
        torch.autograd.grad(function(x, weight), [x, weight], cotangent)

    cpu = torch.device("cpu")
    pairs = [[seconds_of(partial(run, function), cpu) for function in (linear, F.linear)] for _ in range(repeats + 1)]
    ours, torchs = (median(times) for times in zip(*pairs[1:], strict=True))
    return {**where_run(cfg, cpu), "linear_s": ours, "torch_linear_s": torchs, "speedup": round(torchs / ours, 2)}


def seconds_of(function: Callable[[], None], device: torch.device) -> float:
    """Seconds of one call, what it left to the device included."""
    began = perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() - began


def where_run(cfg: DictConfig, device: torch.device) -> dict[str, Any]:
    """What was run, by which code, on what."""
    return {
        "experiment": cfg.name.experiment,
        "task": cfg.name.task,
        "model": cfg.name.model,
        "precision": precision_on(device, cfg.trainer),
        **where_measured(device),
    }
