"""S4D: the authors' kernels, its rules of discretisation, and what users do wrong."""

import numpy as np
import pytest
import torch

from longrange.layers import S4D
from tests.paths import ROOT

GOLDEN = ROOT / "tests" / "golden"


def pairs(z: np.ndarray) -> torch.Tensor:
    return torch.view_as_real(torch.from_numpy(z))


@pytest.mark.parametrize("number", range(3))
def test_golden_kernel(number):
    case = np.load(GOLDEN / f"s4d_{number}.npz")
    H, half = case["Lambda"].shape
    layer = S4D(H, 2 * half, n_ssm=None, discretization=str(case["disc"]), dt_transform="exp")
    values = {
        "inv_dt": torch.from_numpy(case["dt"]).squeeze(-1).log(),
        "A_real": torch.from_numpy(-case["Lambda"].real).log(),
        "A_imag": torch.from_numpy(-case["Lambda"].imag),
        "B": pairs(case["B"][0]),
        "C": pairs(case["C"]),
    }
    layer.load_state_dict(values, strict=False)
    K = layer.kernel(case["K"].shape[-1]).detach().numpy()
    assert np.abs(K - case["K"]).max() < 1e-4 * np.abs(case["K"]).max()


@pytest.mark.parametrize(("init", "golden"), [("lin", 0), ("inv", 1), ("legs", 2)])
def test_initial_poles_are_the_published_ones(init, golden):
    case = np.load(GOLDEN / f"s4d_{golden}.npz")
    ours = S4D(4, 16, init=init).poles().detach().numpy()[0]
    theirs = case["Lambda"][0]
    assert np.abs(np.sort_complex(1j * ours) - np.sort_complex(1j * theirs)).max() < 1e-3


def test_dss_normalises_each_response_over_the_attuned_length():
    """The states' responses to one impulse, before C, add up to 1 / Lambda over the length (guarded against zero)."""
    layer = S4D(2, 4, init="inv", discretization="dss", l_max=40).double()
    A_bar, B_bar = layer.discretized()
    powers = A_bar.unsqueeze(-1) ** torch.arange(40)
    total = (B_bar.unsqueeze(-1) * powers).sum(-1)
    torch.testing.assert_close(total, layer.input_weights() / layer.poles(), rtol=1e-3, atol=1e-3)


def test_dss_without_a_length_says_so():
    with pytest.raises(ValueError, match=r"l_max=<steps>"):
        S4D(2, 4, discretization="dss")(torch.zeros(1, 4, 2))


@pytest.mark.parametrize(
    ("options", "message"), [({"discretization": "euler"}, "zoh, bilinear, dss"), ({"init": "quad"}, "lin, inv, legs")]
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        S4D(4, **options)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_C_begins_as_a_complex_standard_normal(bidirectional):
    """Of variance 1, real and imaginary part together, as in the S4 code."""
    torch.manual_seed(0)
    C = S4D(256, 64, channels=2, bidirectional=bidirectional).C
    assert C.square().sum(-1).mean().item() == pytest.approx(1.0, rel=0.05)
    assert C[..., 0].var().item() == pytest.approx(C[..., 1].var().item(), rel=0.05)
