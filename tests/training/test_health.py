"""The health of a training: norms of gradients, time steps, spectral radius."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from toy_task import toy_config

from longrange.layers import S4D, S5
from longrange.training import train
from longrange.training.health import Health, of_layers


class Logged:
    """Stands for a Lightning module: parameters, and what it is told to log."""

    def __init__(self):
        self.model, self.rows = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2), nn.Linear(2, 1)), {}
        self.model[2].requires_grad_(False)

    def parameters(self):
        return self.model.parameters()

    def log(self, name, value, **options):
        assert (options["on_step"], options["on_epoch"]) == (False, True)
        self.rows[name] = value


def step(health, module, scale, *, last=False):
    """A step with random gradients of some size; returns the norm of all of them in one vector."""
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.grad = scale * torch.randn_like(parameter)
    health.on_before_optimizer_step(None, module, None)
    health.on_train_batch_end(SimpleNamespace(is_last_batch=last), module)
    return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None]).norm().item()


def test_the_norms_are_mean_and_maximum_over_the_steps_of_one_epoch():
    health, module = Health(), Logged()
    step(health, module, 100.0, last=True)
    norms = [step(health, module, scale, last=scale == 2.0) for scale in (1.0, 5.0, 2.0)]
    expected = {"grad_norm_mean": sum(norms) / 3, "grad_norm_max": max(norms)}
    assert module.rows == pytest.approx(expected, rel=1e-6)


def test_an_epoch_goes_on_from_a_checkpoint_to_the_bit():
    straight, parts, module = Health(), Health(), Logged()
    rows = []
    for health in (straight, parts):
        torch.manual_seed(0)
        for number in range(4):
            if number == 2 and health is parts:
                state, health = health.state_dict(), Health()
                health.load_state_dict(state)
            step(health, module, 1.0 + number, last=number == 3)
        rows.append(dict(module.rows))
    assert rows[0] == rows[1]
    assert state["steps"] == 2


def test_a_norm_that_is_not_finite_is_not_hidden_by_later_steps():
    health, module = Health(), Logged()
    for scale in (1.0, float("nan"), 1.0):
        step(health, module, scale, last=False)
    step(health, module, 1.0, last=True)
    assert module.rows["grad_norm_max"] != module.rows["grad_norm_max"]
    assert module.rows["grad_norm_mean"] != module.rows["grad_norm_mean"]


def test_the_extremes_are_over_all_layers():
    fast, slow = S5(4, 8, dt_min=0.05, dt_max=0.1), S4D(4, 8, dt_min=1e-4, dt_max=1e-3, n_ssm=1)
    measured = of_layers(nn.Sequential(fast, nn.Linear(4, 4), slow))
    assert measured == {
        "dt_min": slow.time_steps().min().item(),
        "dt_max": fast.time_steps().max().item(),
        "spectral_radius": slow.spectral_radius(),
    }
    assert fast.spectral_radius() < slow.spectral_radius() < 1
    assert of_layers(nn.Linear(2, 2)) == {}


def test_a_training_logs_the_norm_before_clipping(tmp_path):
    rows = []
    for clip in ("null", "1e-3"):
        small = ["epochs=1", "trainer.limit_train_batches=1", f"trainer.gradient_clip_val={clip}"]
        rows += train(toy_config(tmp_path / clip, *small)).history
    free, clipped = rows
    assert free["grad_norm_max"] == clipped["grad_norm_max"] == clipped["grad_norm_mean"] > 0.1
    assert 0.001 <= free["dt_min"] < free["dt_max"] <= 0.1 + 1e-3
    assert 0.9 < free["spectral_radius"] < 1
