"""Batch norm of a batch that two processes share against plain torch on the whole batch, outputs and gradients."""

import pytest
import torch
from several_processes import PROCESSES
from torch import distributed

from longrange.kernels import batch_norm
from longrange.models.norm import MaskedBatchNorm
from tests.backends import running

H, BACKENDS = 5, ("cpu", "reference")
# Of each example; the processes take turns, so they have unequal numbers of examples, of steps, and of padded steps.
LENGTHS = {"two": [3, 1], "three": [2, 150, 9], "five": [1, 1, 300, 7, 1], "equal": [4, 4, 4, 4]}


def problem(name: str) -> dict[str, torch.Tensor]:
    """A whole batch, far from zero, and what its outputs are multiplied with."""
    draw = torch.Generator().manual_seed(0)
    lengths = torch.tensor(LENGTHS[name])
    x, *cotangents = torch.randn(3, len(lengths), max(lengths), H, generator=draw, dtype=torch.float64)
    weight, bias = torch.randn(2, H, generator=draw, dtype=torch.float64)
    return {"x": x + 100, "lengths": lengths, "weight": weight, "bias": bias, "cotangents": torch.stack(cotangents)}


def part_of(whole: dict[str, torch.Tensor], rank: int) -> dict[str, torch.Tensor]:
    """The examples of one process, padded to their own longest."""
    lengths = whole["lengths"][rank::PROCESSES]
    cut = slice(rank, None, PROCESSES), slice(max(lengths))
    x, cotangents = whole["x"][cut], whole["cotangents"][:, *cut]
    return whole | {"lengths": lengths, "x": x, "cotangents": cotangents}


def run(backend: str, x, lengths, weight, bias, cotangents) -> dict[str, torch.Tensor]:
    inputs = [t.detach().clone().requires_grad_() for t in (x, weight, bias)]
    with running(backend):
        y, skip, mean, variance, count = batch_norm(inputs[0], lengths, *inputs[1:], 1e-5)
    grads = torch.autograd.grad((y * cotangents[0]).sum() + (skip * cotangents[1]).sum(), inputs)
    moments = {"mean": mean, "variance": variance, "count": count}
    return moments | dict(zip(("y", "grad_x", "grad_weight", "grad_bias"), (y.detach(), *grads), strict=True))


def full_norm(x: torch.Tensor) -> dict[str, torch.Tensor]:
    """The norm of a model on full sequences, (B, L, H), and what it keeps of them."""
    norm = MaskedBatchNorm(H, momentum=0.3).double()
    return {"y": norm(x).detach(), **norm.state_dict()}


def job() -> dict[tuple[str, str], dict[str, torch.Tensor]]:
    """What one process computes: every batch with every backend."""
    rank = distributed.get_rank()
    found = {(name, b): run(b, **part_of(problem(name), rank)) for name in LENGTHS for b in BACKENDS}
    return found | {("three", "norm"): full_norm(problem("three")["x"][rank::PROCESSES])}


@pytest.fixture(scope="module")
def shared(processes):
    return processes.call(job)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", LENGTHS)
def test_shared_batch_equals_the_whole_one(shared, name, backend):
    whole, twin = problem(name), run("reference", **problem(name))
    for rank, results in enumerate(shared):
        ours, own = results[name, backend], part_of(whole, rank)
        for key in ("mean", "variance", "count"):
            torch.testing.assert_close(ours[key], twin[key], rtol=1e-9, atol=1e-9)
        for key in ("y", "grad_x"):
            theirs = twin[key][rank::PROCESSES, : own["x"].shape[1]]
            torch.testing.assert_close(ours[key], theirs, rtol=1e-7, atol=1e-7)
    for key in ("grad_weight", "grad_bias"):
        summed = sum(results[name, backend][key] for results in shared)
        torch.testing.assert_close(summed, twin[key], rtol=1e-7, atol=1e-7)


def test_running_statistics_are_of_all_processes(shared):
    whole = full_norm(problem("three")["x"])
    for rank, results in enumerate(shared):
        ours = results["three", "norm"]
        torch.testing.assert_close(ours.pop("y"), whole["y"][rank::PROCESSES])
        torch.testing.assert_close(ours, {key: whole[key] for key in ours})


def test_one_process_waits_for_nobody():
    """Without a group nothing is exchanged."""
    alone = run("cpu", **part_of(problem("five"), 0))
    assert alone["count"] == 302
