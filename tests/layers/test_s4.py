"""S4: the authors' kernels, lengths other than the one it was attuned to, its spectrum, and what users do wrong."""

import numpy as np
import pytest
import torch

from longrange.layers import S4
from tests.paths import ROOT

GOLDEN = ROOT / "tests" / "golden"


def pairs(z: np.ndarray) -> torch.Tensor:
    return torch.view_as_real(torch.from_numpy(z))


def published_layer(case) -> S4:
    """An S4 layer with the parameters of a golden case, one system per feature."""
    layer = S4(int(case["H"]), int(case["N"]), n_ssm=None, channels=int(case["channels"]), dt_transform="exp")
    values = {
        "inv_dt": torch.from_numpy(case["dt"]).squeeze(-1).log(),
        "A_real": torch.from_numpy(-case["Lambda"].real).log(),
        "A_imag": torch.from_numpy(-case["Lambda"].imag),
        "P": pairs(case["P"]),
        "B": pairs(case["B"][0]),
        "C": pairs(case["C"]),
        "D": torch.zeros(layer.D.shape),
    }
    layer.load_state_dict(values | {"length.steps": torch.tensor(0)})
    return layer


@pytest.fixture(params=range(4))
def case(request):
    return np.load(GOLDEN / f"s4_dplr_{request.param}.npz")


def test_golden_kernel_truncation_and_output(case):
    layer, rate = published_layer(case), float(case["rate"])
    layer.attune(int(case["L"]))
    C = torch.view_as_complex(layer.C.detach()).numpy()
    assert np.abs(C - case["C_tilde"]).max() < 1e-4 * np.abs(case["C_tilde"]).max()
    K = layer.kernel(case["K"].shape[-1], rate).detach().numpy()
    assert np.abs(K - case["K"]).max() < 1e-4 * np.abs(case["K"]).max()
    y = layer(torch.from_numpy(case["u"]).mT, rate=rate).detach()  # (B, L, M H)
    ours = y.unflatten(2, (layer.channels, -1)).permute(2, 0, 3, 1).numpy()
    assert np.abs(ours - case["y_causal"]).max() < 1e-4 * np.abs(case["y_causal"]).max()


def built(**options) -> S4:
    torch.manual_seed(0)
    return S4(4, 8, **options).double()


@pytest.mark.parametrize("L", [1, 13, 32])
def test_a_shorter_kernel_is_the_start_of_the_full_one(L):
    layer = built(l_max=32)
    torch.testing.assert_close(layer.kernel(L), layer.kernel(32)[..., :L], rtol=0, atol=1e-12)


@pytest.mark.parametrize("L", [33, 64, 200])
def test_a_longer_kernel_goes_on_as_the_system_does(L):
    layer = built(l_max=32)
    running = layer.recurrence()
    impulse = torch.zeros(1, L, 4, dtype=torch.float64)
    impulse[:, 0] = 1
    response, _ = running.prefill(impulse, running.initial_state(1))
    response[:, 0] -= layer.D
    torch.testing.assert_close(layer.kernel(L)[0].T, response[0], rtol=0, atol=1e-10)


def test_attuning_again_keeps_the_system():
    layer = built(l_max=32)
    before = layer.kernel(32).detach()
    layer.attune(100)
    torch.testing.assert_close(layer.kernel(100)[..., :32].detach(), before, rtol=0, atol=1e-10)


def test_the_length_travels_with_the_weights():
    trained, fresh = built(l_max=32), built(l_max=50)
    fresh.load_state_dict(trained.state_dict())
    torch.testing.assert_close(fresh.kernel(32), trained.kernel(32), rtol=0, atol=0)


def test_the_spectrum_stays_in_the_left_half_plane_whatever_the_parameters():
    layer = built(l_max=32, rank=2, measure="legt", n_ssm=None)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter))
    A = torch.linalg.eigvals(layer._system(1.0).dense())
    assert (A.abs() < 1).all()


def test_features_share_n_ssm_copies_in_turn():
    layer = built(l_max=16, n_ssm=2)
    assert layer.A_real.shape == (2, 4)
    assert torch.equal(layer.poles()[0], layer.poles()[2])


def test_a_layer_that_does_not_know_its_length_says_so():
    with pytest.raises(ValueError, match=r"l_max=<steps>"):
        S4(4, 8)(torch.zeros(1, 4, 4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d_state": 7}, "7"),
        ({"n_ssm": 3}, "n_ssm=3: must divide d_model=4"),
        ({"channels": 0}, "channels=0"),
        ({"dt_min": 0.2}, "dt_min=0.2, dt_max=0.1"),
        ({"dt_transform": "relu"}, "softplus, exp"),
        ({"measure": "legz"}, "legs"),
        ({"measure": "legt", "rank": 1}, "rank"),
        ({"l_max": 0}, "length 0: must be at least 1"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        S4(4, **options)


def test_poles_begin_where_the_measure_has_them():
    """At a real part of -1/2; those of the Fourier system, which has none, at the bound of the S4 code, 1e-4."""
    for measure, decay in {"legs": 0.5, "fourier": 1e-4}.items():
        real = S4(4, 8, measure=measure).poles().real
        torch.testing.assert_close(real, torch.full_like(real, -decay))
