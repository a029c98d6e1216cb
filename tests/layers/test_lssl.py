"""LSSL against the plain Krylov matrix, its parameters, its stability, and the tables of its fixed form."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.layers.lssl import LSSL
from longrange.ssm import MEASURES
from longrange.ssm.dense import gbt
from longrange.ssm.structured import structured

each_mode = pytest.mark.parametrize("trainable", [True, False])


def build(trainable=True, **options):
    torch.manual_seed(0)
    return LSSL(**{"d_model": 3, "d_state": 8, "channels": 2} | options, trainable=trainable).double()


def naive_kernel(layer, L, rate=1.0):
    """C A_bar^l B_bar by matrix powers, from the state matrix itself."""
    A = -structured(layer.structure) if layer.trainable else layer.A
    A_bar, B_bar = gbt(A, layer.B, rate * layer.log_dt.exp(), layer.alpha)
    columns = torch.stack([torch.linalg.matrix_power(A_bar, t) @ B_bar.unsqueeze(-1) for t in range(L)], dim=-1)
    return torch.einsum("mhn,hnl->mhl", layer.C, columns.squeeze(2))


@each_mode
@settings(max_examples=15, deadline=None)
@given(
    L=st.integers(1, 40), N=st.integers(1, 9), rate=st.sampled_from([1.0, 2.0, 0.5]), alpha=st.sampled_from([0.5, 1])
)
def test_kernel_equals_the_krylov_matrix(trainable, L, N, rate, alpha):
    layer = build(trainable, d_state=N, alpha=alpha)
    parameters = [p for name, p in layer.named_parameters() if name != "D"]
    ours, twin = layer.kernel(L, rate), naive_kernel(layer, L, rate)
    torch.testing.assert_close(ours, twin, rtol=1e-9, atol=1e-9)
    cotangent = torch.randn_like(ours)
    gradients = (torch.autograd.grad((K * cotangent).sum(), parameters, materialize_grads=True) for K in (ours, twin))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("measure", MEASURES)
def test_fixed_layer_takes_every_measure(measure):
    layer, (A, B) = build(False, measure=measure), MEASURES[measure](8)
    torch.testing.assert_close(layer.A, A, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(layer.B, B, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(layer.kernel(20), naive_kernel(layer, 20), rtol=1e-9, atol=1e-9)


def test_trained_layer_begins_at_legs():
    torch.testing.assert_close(build(True).kernel(20), build(False).kernel(20), rtol=1e-5, atol=1e-5)


@each_mode
@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(1, 40), min_size=1, max_size=4), rate=st.sampled_from([1.0, 2.0]))
def test_forward_equals_prefill_of_any_chunks_equals_step(trainable, cuts, rate):
    layer, L = build(trainable), sum(cuts)
    u = torch.randn(2, L, 3, dtype=torch.float64, requires_grad=True)
    cotangent, inputs = torch.randn(2, L, 6, dtype=torch.float64), [u, *layer.parameters()]
    recurrence, results = layer.recurrence(rate), [layer(u, rate=rate)]
    for run, sizes in ((recurrence.prefill, cuts), (lambda u, x: recurrence.step(u[:, 0], x), [1] * L)):
        state, parts = recurrence.initial_state(2), []
        for chunk in u.split(sizes, dim=1):
            y, state = run(chunk, state)
            parts.append(y.view(2, -1, 6))
        results.append(torch.cat(parts, dim=1))
    gradients = [torch.autograd.grad((y * cotangent).sum(), inputs, retain_graph=True) for y in results]
    for y, gradient in zip(results[1:], gradients[1:], strict=True):
        torch.testing.assert_close(y, results[0], rtol=1e-9, atol=1e-9)
        for a, b in zip(gradient, gradients[0], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@each_mode
def test_padding_changes_nothing(trainable):
    layer, lengths = build(trainable), torch.tensor([20, 7])
    u = torch.randn(2, 20, 3, dtype=torch.float64)
    dirty = u.clone()
    dirty[1, 7:] = float("nan")
    y = layer(dirty, lengths)
    torch.testing.assert_close(y[1, :7], layer(u[1:, :7])[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(y[0], layer(u)[0], rtol=0, atol=1e-12)


def test_parameters_have_the_published_shapes():
    H, N, M = 5, 8, 3
    shapes = {name: tuple(p.shape) for name, p in LSSL(H, N, channels=M).named_parameters()}
    structure = {name.removeprefix("structure."): shapes.pop(name) for name in list(shapes) if "structure" in name}
    assert shapes == {"C": (M, H, N), "D": (M, H), "B": (N,), "log_dt": (H,)}
    assert structure == {"lower": (7,), "middle": (8,), "upper": (7,), "log_P": (8,), "log_Q": (8,), "log_D": (8,)}
    fixed = LSSL(H, N, channels=M, trainable=False)
    assert {name for name, _ in fixed.named_parameters()} == {"C", "D"}
    assert set(fixed.state_dict()) == {"C", "D", "A", "B", "log_dt"}
    # With the linear map of its block, M H -> H without bias: the count of the paper, M H (H + N), and D.
    assert sum(p.numel() for p in fixed.parameters()) + M * H * H == M * H * (H + N) + M * H


def test_steps_are_drawn_within_their_range():
    torch.manual_seed(0)
    dt = LSSL(50, 4, dt_min=0.01, dt_max=0.02).log_dt.exp()
    assert (dt >= 0.01).all()
    assert (dt <= 0.02).all()
    assert dt.unique().numel() == 50


def test_kernels_stay_bounded_where_training_wants_them_to_grow():
    """Rates a hundred times the usual ones, towards larger kernels: float32 gradients and kernels stay finite."""
    torch.manual_seed(0)
    layer, L = LSSL(4, 32), 1024
    optimizer = torch.optim.Adam([*layer.structure.values(), layer.log_dt], lr=0.02)
    for _ in range(40):
        optimizer.zero_grad()
        layer.kernel(L).square().sum().log().neg().backward()
        assert all(p.grad.isfinite().all() for p in layer.structure.values())
        optimizer.step()
    _, B_bar = layer.discretized()
    scale = ((layer.structure["log_Q"] - layer.structure["log_P"]) / 2).exp()
    bound = (layer.C / scale).norm(dim=-1) * (B_bar * scale).norm(dim=-1)
    assert (layer.kernel(L).abs().amax(-1) <= 1.01 * bound).all()


def test_fixed_table_follows_its_tensors():
    layer, other = build(False), build(False, dt_min=0.2, dt_max=0.3)
    before = layer.kernel(30)
    layer.load_state_dict(other.state_dict())
    torch.testing.assert_close(layer.kernel(30), other.kernel(30))
    layer.load_state_dict(build(False).state_dict(), assign=True)
    torch.testing.assert_close(layer.kernel(30), before)
    with torch.no_grad():
        layer.log_dt += 1
    torch.testing.assert_close(layer.kernel(30), naive_kernel(layer, 30), rtol=1e-9, atol=1e-9)


def test_fixed_table_follows_dtype_device_and_rate():
    layer = build(False)
    kernels = {rate: layer.kernel(50, rate) for rate in (1.0, 2.0, 0.5, 3.0)}
    assert len(layer._fixed._systems) == layer._fixed.limit
    for rate, K in kernels.items():
        torch.testing.assert_close(layer.kernel(50, rate), K, rtol=0, atol=0)
        torch.testing.assert_close(layer.kernel(9, rate), K[..., :9], rtol=0, atol=1e-12)
    assert layer.float().kernel(50).dtype == torch.float32
    torch.testing.assert_close(layer.kernel(50), kernels[1.0].float(), rtol=0, atol=1e-5)
    assert layer.to("meta").kernel(50).device.type == "meta"


def test_fixed_table_is_made_once_and_not_copied_or_saved():
    layer = build(False)
    layer.kernel(30)
    table = layer._fixed._systems[1.0, 0.5]
    layer.kernel(12)
    assert layer._fixed._systems[1.0, 0.5] is table
    twin = copy.deepcopy(layer)
    assert not twin._fixed._systems
    torch.testing.assert_close(twin.kernel(30), layer.kernel(30))


def test_fixed_layer_trains_after_inference():
    layer, u = build(False), torch.randn(2, 10, 3, dtype=torch.float64)
    with torch.inference_mode():
        layer(u)
        layer.prefill(u, layer.initial_state(2))
    layer(u).sum().backward()
    y, _ = layer.prefill(u, layer.initial_state(2))
    y.sum().backward()
    assert layer.C.grad.isfinite().all()


@torch.inference_mode()
def test_a_fixed_layer_made_in_inference_mode_follows_its_time_steps():
    layer, u = build(False), torch.randn(2, 10, 3, dtype=torch.float64)
    before = layer(u)
    layer.log_dt.add_(1.0)
    assert not torch.allclose(layer(u), before)


@each_mode
def test_autocast_keeps_the_maths_in_float32(trainable):
    layer, u = build(trainable).float(), torch.randn(2, 37, 3).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, recurrence = layer(u), layer.recurrence()
    exact = layer(u.float())
    torch.testing.assert_close(y, exact, rtol=0, atol=1e-5)
    recurrent, _ = recurrence.prefill(u.float(), recurrence.initial_state(2))
    torch.testing.assert_close(recurrent, exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d_state": 0}, "d_state=0"),
        ({"channels": 0}, "channels=0"),
        ({"measure": "chebyshev"}, "measure='chebyshev': must be one of legs"),
        ({"measure": "legt"}, "trainable=False"),
        ({"alpha": 2.0}, "alpha=2.0"),
        ({"dt_min": 0.2}, "in this order"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        LSSL(4, **options)


def test_a_fixed_system_follows_alpha():
    layer, u = LSSL(2, 16, trainable=False), torch.randn(1, 30, 2)
    trapezoid = layer(u)
    layer.alpha = 1.0
    backward = layer(u)
    layer.alpha = 0.5
    assert torch.equal(layer(u), trapezoid)
    assert not torch.allclose(backward, trapezoid)
