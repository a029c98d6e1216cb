"""S5 against the authors' numbers, against a dense system, and its initial values."""

import numpy as np
import pytest
import torch

from longrange.layers import S5
from tests.backends import running
from tests.paths import GOLDEN


def golden_layer(golden):
    """Our layer with the authors' parameters, and our names for their arrays."""
    layer = S5(
        int(golden["H"]),
        int(golden["P"]),
        int(golden["J"]),
        bidirectional=bool(golden["bidirectional"]),
        C_init=str(golden["C_init"]),
        discretization=str(golden["discretization"]),
        clip_eigs=bool(golden["clip_eigs"]),
    )
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.copy_(golden_value(golden, "param", name))
    return layer


def golden_value(golden, kind, name):
    if name == "C" and f"{kind}_C1" in golden:
        value = np.concatenate([golden[f"{kind}_C1"], golden[f"{kind}_C2"]], axis=1)
    else:
        value = golden[f"{kind}_{name}"]
    return torch.from_numpy(value.squeeze(-1) if name == "log_step" else value)


def relative_error(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("case", [0, 1, 2])
def test_outputs_and_all_gradients_equal_the_authors(case, backend):
    golden = np.load(GOLDEN / f"s5_{case}.npz")
    layer = golden_layer(golden)
    u = torch.from_numpy(golden["u"])[None].requires_grad_()
    with running(backend):
        y = layer(u, rate=float(golden["step_rescale"]))
        (y[0] * torch.from_numpy(golden["w"])).sum().backward()
    assert relative_error(y[0].detach(), torch.from_numpy(golden["y"])) < 1e-4
    assert relative_error(u.grad[0], torch.from_numpy(golden["du"])) < 1e-4
    for name, parameter in layer.named_parameters():
        assert relative_error(parameter.grad, golden_value(golden, "grad", name)) < 1e-4, name


@pytest.mark.parametrize("discretization", ["zoh", "bilinear"])
@pytest.mark.parametrize("conj_sym", [True, False])
def test_equals_a_dense_recurrence(discretization, conj_sym):
    """The state matrix written out, stepped in numpy: no diagonal trick, no scan."""
    torch.manual_seed(0)
    layer = S5(3, 8, 2, discretization=discretization, conj_sym=conj_sym).double()
    u = torch.randn(1, 12, 3, dtype=torch.float64)
    A_bar, B_bar = (t.detach().numpy() for t in layer.discretized())
    C = torch.view_as_complex(layer.C).detach().numpy()
    x, outputs = np.zeros(len(A_bar), complex), []
    for u_k in u[0].numpy():
        x = np.diag(A_bar) @ x + B_bar @ u_k
        outputs.append((2 if conj_sym else 1) * (C @ x).real + layer.D.detach().numpy() * u_k)
    torch.testing.assert_close(layer(u)[0], torch.from_numpy(np.stack(outputs)), rtol=0, atol=1e-12)


def test_half_of_the_conjugate_pairs_equals_all_of_them():
    torch.manual_seed(0)
    half = S5(3, 8, 1).double()
    full = S5(3, 8, 1, conj_sym=False).double()
    with torch.no_grad():
        for name in ("Lambda_re", "log_step", "B", "C", "Lambda_im"):
            value = getattr(half, name)
            mirrored = value.clone()
            if name == "Lambda_im":
                mirrored = -mirrored
            if name in ("B", "C"):
                mirrored[..., 1] *= -1
            getattr(full, name).copy_(torch.cat([value, mirrored], dim=1 if name == "C" else 0))
        full.D.copy_(half.D)
    u = torch.randn(2, 20, 3, dtype=torch.float64)
    torch.testing.assert_close(half(u), full(u), rtol=0, atol=1e-12)


def test_bidirectional_is_the_forward_scan_plus_the_mirrored_one():
    torch.manual_seed(0)
    both, forward, backward = (S5(3, 8, 1, bidirectional=flag).double() for flag in (True, False, False))
    with torch.no_grad():
        for name, value in both.state_dict().items():
            for k, single in enumerate((forward, backward)):
                part = value.chunk(2, dim=1)[k] if name == "C" else value
                getattr(single, name).copy_(part)
        backward.D.zero_()
    u = torch.randn(2, 9, 3, dtype=torch.float64)
    torch.testing.assert_close(both(u), forward(u) + backward(u.flip(1)).flip(1), rtol=0, atol=1e-12)


def test_bidirectional_refuses_the_recurrent_mode():
    layer = S5(3, 8, bidirectional=True)
    for call in (
        lambda: layer.initial_state(2),
        lambda: layer.prefill(torch.zeros(2, 4, 3), torch.zeros(2, 2, 4)),
        lambda: layer.step(torch.zeros(2, 3), torch.zeros(2, 2, 4)),
    ):
        with pytest.raises(ValueError, match="bidirectional=False"):
            call()


def test_clip_eigs_holds_the_real_parts_left():
    clipped, free = S5(3, 8, clip_eigs=True), S5(3, 8)
    with torch.no_grad():
        clipped.Lambda_re.fill_(0.5)
        free.Lambda_re.fill_(0.5)
    assert (clipped.discretized()[0].abs() < 1).all()
    assert (free.discretized()[0].abs() > 1).all()


@pytest.mark.parametrize(
    ("C_init", "variance"), [("trunc_standard_normal", 1 / 64), ("lecun_normal", 1 / 64 / 200), ("complex_normal", 0.5)]
)
def test_variance_of_C(C_init, variance):
    """V is unitary over all states: a complex entry of variance 2v per pair keeps v per part on average."""
    torch.manual_seed(0)
    C = S5(200, 64, 4, C_init=C_init).C
    assert abs(C.var().item() / variance - 1) < 0.05


def test_initial_values_have_the_published_shapes_and_ranges():
    torch.manual_seed(0)
    layer = S5(10, 16, 8, bidirectional=True, dt_min=0.001, dt_max=0.1)
    shapes = {name: tuple(p.shape) for name, p in layer.named_parameters()}
    assert shapes == {
        "Lambda_re": (8,), "Lambda_im": (8,), "log_step": (8,), "B": (8, 10, 2), "C": (10, 16, 2), "D": (10,),
    }  # fmt: skip
    torch.testing.assert_close(layer.Lambda_im.data, torch.full((8,), -(3**0.5) / 2))
    steps = layer.log_step.exp()
    assert (steps >= 0.001).all()
    assert (steps <= 0.1).all()
    assert steps.unique().numel() == 8
    assert not any(p.is_complex() for p in layer.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d_state": 10, "n_blocks": 4}, "multiple of 8"),
        ({"C_init": "normal"}, "C_init='normal': must be one of"),
        ({"discretization": "euler"}, "discretization='euler'"),
        ({"dt_min": 0.0}, "dt_min=0.0"),
        ({"dt_min": 0.2}, "in this order"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        S5(4, **options)


@pytest.mark.parametrize("C_init", ["trunc_standard_normal", "lecun_normal", "complex_normal"])
def test_both_directions_begin_with_a_C_of_their_own(C_init):
    forwards, backwards = S5(8, 16, 2, bidirectional=True, C_init=C_init).C.chunk(2, dim=1)
    assert forwards.shape == backwards.shape == (8, 8, 2)
    assert not torch.isclose(forwards, backwards).any()
