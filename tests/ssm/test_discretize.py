"""Discretisation rules against scipy's dense ones."""

import numpy as np
import pytest
import torch
from scipy.signal import cont2discrete

from longrange.ssm import DISCRETIZATIONS


@pytest.mark.parametrize("rule", ["zoh", "bilinear"])
@pytest.mark.parametrize("dt", [0.001, 0.1, 1.0])
def test_rule_equals_scipy(rule, dt):
    rng = np.random.default_rng(0)
    Lambda = -rng.uniform(0.1, 2, 5) + 1j * rng.normal(0, 3, 5)
    A_bar, gain = DISCRETIZATIONS[rule](torch.from_numpy(Lambda), torch.full((5,), dt, dtype=torch.float64))
    for n in range(5):
        system = (np.array([[Lambda[n]]]), np.ones((1, 1)), np.ones((1, 1)), np.zeros((1, 1)))
        dense_A, dense_B, *_ = cont2discrete(system, dt, method=rule)
        assert A_bar[n].item() == pytest.approx(dense_A.item(), rel=1e-12)
        assert gain[n].item() == pytest.approx(dense_B.item(), rel=1e-9)


@pytest.mark.parametrize("rule", ["zoh", "bilinear"])
def test_stable_stays_stable(rule):
    Lambda = torch.complex(torch.tensor([-1e-4, -0.5]), torch.tensor([50.0, 0.0]))
    A_bar, _ = DISCRETIZATIONS[rule](Lambda, torch.tensor([0.1, 10.0]))
    assert (A_bar.abs() < 1).all()
