"""Discretisation rules against scipy's dense ones, the authors' kernels and their definitions."""

import numpy as np
import pytest
import torch
from scipy.signal import cont2discrete

from longrange.ssm import DISCRETIZATIONS, dss_softmax, spectrum
from tests.paths import GOLDEN


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


@pytest.mark.parametrize("rule", ["zoh", "bilinear"])
def test_small_steps_keep_their_precision_in_float32(rule):
    Lambda, _ = spectrum("lin", 16)
    exact = DISCRETIZATIONS[rule](Lambda, torch.tensor(1e-4, dtype=torch.float64))[1]
    single = DISCRETIZATIONS[rule](Lambda.to(torch.complex64), torch.tensor(1e-4))[1]
    assert ((single - exact).abs() / exact.abs()).max() < 1e-6


def vandermonde(c, ratio, L):
    return 2 * torch.einsum("...n,...nl->...l", c, ratio.unsqueeze(-1) ** torch.arange(L)).real


@pytest.mark.parametrize("i", [0, 1, 2])
def test_diagonal_kernel_equals_the_authors(i):
    golden = np.load(GOLDEN / f"s4d_{i}.npz")
    Lambda, B, C = (torch.from_numpy(golden[name]).to(torch.complex128) for name in ("Lambda", "B", "C"))
    A_bar, gain = DISCRETIZATIONS[str(golden["disc"])](Lambda, torch.from_numpy(golden["dt"]).double())
    K = vandermonde(C * B * gain, A_bar, golden["K"].shape[-1])
    np.testing.assert_allclose(K.numpy(), golden["K"], rtol=0, atol=1e-5 * abs(golden["K"]).max())


def softmax_kernel(C, Lambda, Delta, L):
    """The definition: softmax over time of the exponents, as numbers that need not fear overflow."""
    powers = torch.exp(Lambda.unsqueeze(-1) * Delta.unsqueeze(-1) * torch.arange(L))
    rows = powers / powers.sum(-1, keepdim=True) / Lambda.unsqueeze(-1)
    return 2 * torch.einsum("...n,...nl->...l", C, rows).real


def dss_kernel(C, Lambda, Delta, L):
    A_bar, gain = dss_softmax(Lambda, Delta, L)
    return vandermonde(C * gain, A_bar, L)


@pytest.mark.parametrize("L", [1, 2, 37])
def test_dss_is_a_softmax_over_time(L):
    draw = torch.Generator().manual_seed(0)
    C, Lambda = torch.randn(2, 3, 6, dtype=torch.complex128, generator=draw)
    Lambda = torch.complex(-5 * Lambda.real.abs(), 5 * Lambda.imag).requires_grad_()
    Delta = torch.tensor([[0.3], [0.1], [0.05]], dtype=torch.float64, requires_grad=True)
    fast, slow = (f(C, Lambda, Delta, L) for f in (dss_kernel, softmax_kernel))
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-4 * slow.abs().max().item())
    gradients = (torch.autograd.grad(K.square().sum(), (Lambda, Delta)) for K in (fast, slow))
    for ours, twin in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, twin, rtol=0, atol=1e-3 * max(1, twin.abs().max().item()))


def test_dss_stays_finite_where_states_turn_in_whole_circles():
    L, Delta = 16_384, torch.tensor([0.1])
    Lambda = torch.complex(torch.tensor([0.0, -3.0]), torch.tensor([20 * torch.pi / L * 1000, 0.0]))
    Lambda.requires_grad_()
    A_bar, gain = dss_softmax(Lambda, Delta, L)
    (gradient,) = torch.autograd.grad(gain.abs().square().sum() + A_bar.abs().square().sum(), Lambda)
    assert gain.isfinite().all()
    assert gradient.isfinite().all()
