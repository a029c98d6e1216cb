"""What every layer promises: its modes agree, padding is nothing, the rate rescales time."""

import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.layers import LSSL, S4, S4D, S5
from longrange.layers.convolution import ConvolutionLayer
from tests.backends import running

LAYERS = {
    "s5": lambda both: S5(6, 8, 2, bidirectional=both),
    "s5-bilinear": lambda both: S5(6, 8, 2, bidirectional=both, discretization="bilinear", conj_sym=False),
    "s5-few-states": lambda both: S5(16, 16, 2, bidirectional=both),  # in one kernel on the CPU
    "s4": lambda both: S4(6, 8, n_ssm=2, bidirectional=both),
    "s4-legt-channels": lambda both: S4(
        6, 6, measure="legt", rank=2, channels=3, bidirectional=both, dt_transform="exp"
    ),
    "s4d": lambda both: S4D(6, 8, n_ssm=None, bidirectional=both),
    "s4d-bilinear-channels": lambda both: S4D(
        6, 8, init="lin", channels=2, bidirectional=both, discretization="bilinear"
    ),
    "s4d-dss": lambda both: S4D(6, 8, init="inv", bidirectional=both, discretization="dss"),
    "lssl": lambda both: LSSL(6, 8),
    "lssl-fixed-channels": lambda both: LSSL(6, 8, channels=2, trainable=False),
}
each_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
BOTH_WAYS = [(name, both) for name in LAYERS for both in ([False] if name.startswith("lssl") else [False, True])]
causal_and_two_sided = pytest.mark.parametrize(
    ("make", "both"),
    [pytest.param(LAYERS[name], both, id=f"{name}-{'both' if both else 'causal'}") for name, both in BOTH_WAYS],
)


def build(make, bidirectional=False, dtype=torch.float64):
    """A layer tuned to 24 steps: the tests run it on shorter and on longer sequences."""
    torch.manual_seed(0)
    layer = make(bidirectional).to(dtype)
    layer.attune(24)
    return layer


def gradients(y, cotangent, *inputs):
    return [y.detach(), *torch.autograd.grad((y * cotangent).sum(), inputs)]


@each_layer
@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, 12), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_forward_equals_prefill_of_any_chunks_equals_step(make, cuts, seed):
    layer, draw = build(make), torch.Generator().manual_seed(seed)
    L = sum(cuts)
    u = torch.randn(2, L, layer.d_model, generator=draw, dtype=torch.float64, requires_grad=True)
    cotangent = torch.randn(2, L, layer.d_output, generator=draw, dtype=torch.float64)
    inputs = [u, *layer.parameters()]
    whole = gradients(layer(u), cotangent, *inputs)
    for sizes in (cuts, [1] * L):
        state, parts = layer.initial_state(2), []
        for chunk in u.split(sizes, dim=1):
            y, state = layer.step(chunk[:, 0], state) if chunk.shape[1] == 1 else layer.prefill(chunk, state)
            parts.append(y.reshape(2, -1, layer.d_output))
        for ours, twin in zip(gradients(torch.cat(parts, 1), cotangent, *inputs), whole, strict=True):
            torch.testing.assert_close(ours, twin, rtol=1e-9, atol=1e-9)


@causal_and_two_sided
@pytest.mark.parametrize("L", [1, 24, 41])
def test_every_backend_computes_the_same(make, both, L):
    """With few states the CPU runs the recurrence where the reference convolves; lengths beyond the attuned one too."""
    layer = build(make, both)
    u = torch.randn(2, L, layer.d_model, dtype=torch.float64, requires_grad=True)
    cotangent = torch.randn(2, L, layer.d_output, dtype=torch.float64)
    results = []
    for backend in ("cpu", "reference"):
        with running(backend):
            results.append(gradients(layer(u), cotangent, u, *layer.parameters()))
    for ours, twin in zip(*results, strict=True):
        torch.testing.assert_close(ours, twin, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@causal_and_two_sided
def test_padding_changes_nothing(make, both, backend):
    layer = build(make, both)
    u, lengths = torch.randn(3, 20, layer.d_model, dtype=torch.float64), torch.tensor([20, 7, 1])
    dirty = u.clone()
    for row, length in enumerate(lengths):
        dirty[row, length:] = float("nan")
    longer = torch.cat([dirty, torch.full((3, 13, layer.d_model), float("inf"), dtype=torch.float64)], dim=1)
    with running(backend):
        batches = layer(u, lengths), layer(dirty, lengths), layer(longer, lengths)
        alone = [layer(u[row : row + 1, :length])[0] for row, length in enumerate(lengths)]
    for row, length in enumerate(lengths):
        for padded in batches:
            torch.testing.assert_close(padded[row, :length], alone[row], rtol=0, atol=1e-12)


@each_layer
def test_rate_two_on_a_decimated_signal_gives_the_decimated_output(make):
    """A smooth input at half the sample rate, with the time step doubled, is the same continuous system."""
    layer = build(make)
    time = torch.linspace(0, 3, 4001, dtype=torch.float64)
    u = torch.stack([torch.sin((k + 1) * time) for k in range(layer.d_model)], dim=-1)[None]
    full, half = layer(u)[:, ::2], layer(u[:, ::2], rate=2.0)
    assert (full - half).abs().max() < 0.02 * full.abs().max()
    assert (full - layer(u[:, ::2])).abs().max() > 0.1 * full.abs().max()


@causal_and_two_sided
def test_a_batch_of_nothing_gives_nothing(make, both):
    layer = build(make, both, torch.float32)
    y = layer(torch.randn(0, 20, layer.d_model))
    y.sum().backward()
    assert y.shape == (0, 20, layer.d_output)
    assert all(p.grad is None or not p.grad.any() for p in layer.parameters())


@each_layer
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_inputs_are_taken_in_the_parameters_precision(make, backend):
    layer = build(make, dtype=torch.float32)
    u = torch.randn(2, 9, layer.d_model).bfloat16()  # exact in all precisions
    with running(backend), torch.no_grad():
        twins = [layer(u.float()), *layer.prefill(u.float(), layer.initial_state(2))]
        twins += layer.step(u[:, 0].float(), layer.initial_state(2))
        for wanted in (torch.bfloat16, torch.float64):
            other = u.to(wanted)
            ours = [layer(other), *layer.prefill(other, layer.initial_state(2))]
            ours += layer.step(other[:, 0], layer.initial_state(2))
            assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(ours, twins, strict=True))


@causal_and_two_sided
def test_other_shapes_and_rates_are_refused(make, both):
    layer = build(make, both, torch.float32)
    for shape in ((2, 0, layer.d_model), (2, 5, layer.d_model + 1), (2, 5, 2 * layer.d_model), (5, layer.d_model)):
        with pytest.raises(ValueError, match=r"must be \(batch, length, \d+\), of at least one step"):
            layer(torch.randn(shape))
    with pytest.raises(ValueError, match=r"lengths of shape \(3,\): must be \(2,\)"):
        layer(torch.randn(2, 5, layer.d_model), lengths=torch.tensor([5, 5, 5]))
    for rate in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=r"rate=.* must be above 0"):
            layer(torch.randn(2, 5, layer.d_model), rate=rate)
        if not both:
            with pytest.raises(ValueError, match=r"rate=.* must be above 0"):
                layer.recurrence(rate)
    if not both:
        for shape in ((2, 0, layer.d_model), (2, 5, layer.d_model + 1)):
            with pytest.raises(ValueError, match="of at least one step"):
                layer.prefill(torch.randn(shape), layer.initial_state(2))


@each_layer
def test_states_of_other_sequences_and_other_steps_are_refused(make):
    running = build(make, dtype=torch.float32).recurrence()
    H, state = build(make).d_model, running.initial_state(2)
    for other in (running.initial_state(1), running.initial_state(3), state[..., :1], state.flatten(1)):
        for u in (torch.randn(2, 1, H), torch.randn(2, 5, H)):
            with pytest.raises(ValueError, match=r"state of shape \(.*must be \(2, \d"):
                running.prefill(u, other)
        with pytest.raises(ValueError, match=r"state of shape \(.*must be \(2, \d"):
            running.step(torch.randn(2, H), other)
    for shape in ((2, 1), (2, H + 1), (2, 1, H)):
        with pytest.raises(ValueError, match=rf"input of shape .*must be \(batch, {H}\), one step"):
            running.step(torch.randn(shape), state)


@causal_and_two_sided
def test_a_pickled_layer_is_the_same(make, both):
    layer = build(make, both)
    again, u = pickle.loads(pickle.dumps(layer)), torch.randn(2, 30, layer.d_model, dtype=torch.float64)
    assert torch.equal(again(u), layer(u))
    again.load_state_dict(layer.state_dict())


@each_layer
def test_a_state_keeps_no_more_in_memory_than_itself(make):
    layer = build(make, dtype=torch.float32)
    with torch.no_grad():
        _, state = layer.prefill(torch.randn(2, 30, layer.d_model), layer.initial_state(2))
    assert state.untyped_storage().nbytes() == state.nbytes


@each_layer
def test_bfloat16_autocast_trains_on_odd_lengths(make):
    layer = build(make, True, torch.float32)
    u = torch.randn(2, 37, layer.d_model, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(u)
    y.float().square().mean().backward()
    exact = layer(u)
    assert (y.float() - exact).abs().max() < 0.05 * exact.abs().max()
    assert all(p.grad.isfinite().all() and p.grad.dtype == torch.float32 for p in layer.parameters())


@each_layer
def test_the_recurrent_mode_keeps_float32_under_autocast(make):
    layer = build(make, dtype=torch.float32)
    u = torch.randn(2, 30, layer.d_model)
    with torch.no_grad():
        exact, _ = layer.prefill(u, layer.initial_state(2))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y, state = layer.prefill(u, layer.initial_state(2))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            kernels = layer.kernel(30) if isinstance(layer, ConvolutionLayer) else None
        assert kernels is None or torch.equal(kernels, layer.kernel(30))
    assert (y - exact).abs().max() < 0.05 * exact.abs().max()
    assert state.dtype == torch.float32


def transition_by_stepping(layer, rate):
    """The whole state's A_bar, column by column: what a step without input makes of each unit state."""
    empty = layer.initial_state(1)
    units = torch.eye(empty.numel(), dtype=empty.dtype).unflatten(1, empty.shape[1:])
    _, after = layer.step(torch.zeros(len(units), layer.d_model, dtype=empty.dtype), units, rate)
    return after.flatten(1).mT


@each_layer
@pytest.mark.parametrize("rate", [1.0, 2.0])
def test_the_spectral_radius_is_that_of_the_matrix_that_a_step_applies(make, rate):
    layer = build(make)
    with torch.no_grad():
        for parameter in layer.parameters():  # copies and features that start alike become different
            parameter += 0.1 * torch.randn_like(parameter)
        expected = torch.linalg.eigvals(transition_by_stepping(layer, rate)).abs().max().item()
    assert layer.spectral_radius(rate) == pytest.approx(expected, rel=1e-12)
    assert expected < 1
    assert layer.spectral_radius(3.0) != pytest.approx(expected, rel=1e-5)


@each_layer
def test_time_steps_are_in_the_range_they_were_drawn_from_and_follow_the_rate(make):
    layer = build(make)
    dt = layer.time_steps()
    assert 0.001 * (1 - 1e-6) <= dt.min() < dt.max() <= 0.1 * (1 + 1e-6)
    torch.testing.assert_close(layer.time_steps(2.0), 2 * dt)


def test_a_growing_state_has_a_radius_above_one():
    layer = build(LAYERS["s5"])
    with torch.no_grad():
        layer.Lambda_re[0] = 0.5
    assert layer.spectral_radius() == pytest.approx(torch.exp(0.5 * layer.time_steps()[0]).item(), rel=1e-12)
