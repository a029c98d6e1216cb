"""Initial draws: variance, truncation, range."""

import math

import torch

from longrange.ssm import lecun_normal, log_uniform


def test_lecun_normal_keeps_its_variance_after_the_cut():
    torch.manual_seed(0)
    draws = lecun_normal(500, 400, fan_in=25)
    assert abs(draws.var().item() * 25 - 1) < 0.02
    assert draws.abs().max() <= 2 / 0.8796 / 5


def test_log_uniform_fills_its_range():
    torch.manual_seed(0)
    steps = log_uniform(10_000, 0.001, 0.1).exp()
    assert steps.min() >= 0.001
    assert steps.max() <= 0.1
    assert abs(steps.log().mean().item() - math.log(0.01)) < 0.05
