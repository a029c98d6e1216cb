"""Schedules against their closed forms."""

import math

import pytest
import torch
from hydra.utils import instantiate

from longrange.cli import compose
from longrange.errors import CheckpointError, ConfigError
from longrange.training.schedules import Horizon, constant, multistep, plateau, warmup_cosine

HORIZON = Horizon(epochs=4, steps_per_epoch=5, mode="max")


def optimizer():
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    return torch.optim.SGD([{"params": parameters[:1], "lr": 1.0}, {"params": parameters[1:], "lr": 0.1}])


def rates(schedule, over, steps):
    """Rates of both groups in each of the first steps."""
    seen = []
    for _ in range(steps):
        seen.append([group["lr"] for group in over.param_groups])
        over.step()
        schedule.step()
    return seen


def test_warmup_cosine_closed_form():
    over = optimizer()
    seen = rates(warmup_cosine(over, HORIZON, warmup_epochs=1), over, 21)
    warmup = [(step + 1) / 5 for step in range(5)]
    cosine = [0.5 * (1 + math.cos(math.pi * (step - 5) / 15)) for step in range(5, 21)]
    expected = [[factor, 0.1 * factor] for factor in warmup + cosine]
    torch.testing.assert_close(torch.tensor(seen), torch.tensor(expected))
    assert seen[4][0] == seen[5][0] == 1.0
    assert seen[20][0] == 0.0


def test_warmup_and_length_in_steps():
    over = optimizer()
    seen = rates(warmup_cosine(over, HORIZON, warmup_steps=2, total_steps=6), over, 9)
    expected = [0.5, 1.0, 1.0, *(0.5 * (1 + math.cos(math.pi * k / 4)) for k in (1, 2, 3)), 0.0, 0.0, 0.0]
    assert [rate for rate, _ in seen] == pytest.approx(expected)


def test_no_warmup_starts_at_the_peak():
    over = optimizer()
    assert rates(warmup_cosine(over, HORIZON, warmup_epochs=0), over, 1) == [[1.0, 0.1]]


@pytest.mark.parametrize("steps", [-1, 21, 25])
def test_warmup_must_fit(steps):
    with pytest.raises(ConfigError, match=f"warmup_steps: a warmup of {steps} steps .* into the 20 of the training"):
        warmup_cosine(optimizer(), HORIZON, warmup_steps=steps)
    with pytest.raises(ConfigError, match=r"warmup_epochs: a warmup of .* into the 1 of scheduler\.total_steps"):
        warmup_cosine(optimizer(), HORIZON, warmup_epochs=2, total_steps=1)


@pytest.mark.parametrize("factor", [-0.1, 1, 2.5])
def test_a_plateau_must_reduce_the_rate(factor):
    with pytest.raises(ConfigError, match=r"scheduler\.factor=.*: must be at least 0 and below 1"):
        plateau(optimizer(), HORIZON, factor=factor, patience=1, min_lr=0.0)


def test_a_resumed_schedule_keeps_its_length():
    saved = warmup_cosine(optimizer(), HORIZON).state_dict()
    longer = Horizon(epochs=8, steps_per_epoch=5, mode="max")
    with pytest.raises(CheckpointError, match="5 warmup steps of 20, this run's 5 of 40"):
        warmup_cosine(optimizer(), longer).load_state_dict(saved)
    warmup_cosine(optimizer(), longer, total_steps=20).load_state_dict(saved)


def test_multistep_changes_at_epochs():
    over = optimizer()
    seen = rates(multistep(over, HORIZON, milestones=[1, 3], gamma=0.5), over, 20)
    assert [rate for rate, _ in seen] == [1.0] * 5 + [0.5] * 10 + [0.25] * 5


def test_constant():
    over = optimizer()
    assert rates(constant(over, HORIZON), over, 20) == [[1.0, 0.1]] * 20


@pytest.mark.parametrize(("mode", "worse"), [("max", -1.0), ("min", 1.0)])
def test_plateau_waits_for_patience(mode, worse):
    over = optimizer()
    horizon = Horizon(epochs=4, steps_per_epoch=5, mode=mode)
    schedule = plateau(over, horizon, factor=0.2, patience=1, min_lr=0.0)
    seen = []
    for metric in [0.0, worse, worse, worse]:
        schedule.step(metric)
        seen.append(over.param_groups[0]["lr"])
    assert seen == pytest.approx([1.0, 1.0, 0.2, 0.2])


@pytest.mark.parametrize("name", ["warmup_cosine", "plateau", "multistep", "constant"])
def test_configs_build(name):
    over = optimizer()
    schedule = instantiate(compose("train", [f"scheduler={name}"]).scheduler)(over, HORIZON)
    assert schedule.optimizer is over
