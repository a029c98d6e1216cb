"""The trainable state matrix: LegS at its initial values, stable at all others, every value trainable."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.ssm import legs
from longrange.ssm.structured import legs_structure, structured


def moved(N, distance, seed):
    """Initial values, each moved by normal draws of a standard deviation."""
    draw = torch.Generator().manual_seed(seed)
    return {
        name: value + distance * torch.randn(value.shape, generator=draw, dtype=value.dtype)
        for name, value in legs_structure(N).items()
    }


@pytest.mark.parametrize("N", [1, 2, 7, 128])
def test_initial_values_make_legs(N):
    torch.testing.assert_close(-structured(legs_structure(N)), legs(N)[0], rtol=1e-12, atol=1e-10)


def least_rate(A, values):
    """The least rate at which -A shrinks some state, scaled by sqrt(Q / P), relative to the greatest."""
    scale = ((values["log_Q"] - values["log_P"]) / 2).exp()
    A = scale.unsqueeze(-1) * A / scale
    rates = torch.linalg.eigvalsh(A + A.mT)
    return (rates[0] / rates[-1]).item()


def papers_formula(values):
    T = torch.diag(values["middle"]) + torch.diag(values["lower"], -1) + torch.diag(values["upper"], 1)
    P, D, Q = values["log_P"].exp().diag(), (values["log_D"].exp() - 0.5).diag(), values["log_Q"].exp().diag()
    return P @ (D + T.inverse()) @ Q


@settings(max_examples=60, deadline=None)
@given(N=st.integers(1, 40), distance=st.sampled_from([1e-3, 0.1, 0.5]), seed=st.integers(0, 999))
def test_states_never_grow_whatever_the_values(N, distance, seed):
    values = moved(N, distance, seed)
    assert least_rate(structured(values), values) > -1e-10


def test_without_bounds_states_grow():
    values = moved(20, 0.1, 0)
    assert least_rate(papers_formula(values), values) < -0.01


def test_within_the_bounds_the_structure_is_the_papers_formula():
    values = {name: value.clone() for name, value in legs_structure(5).items()}
    values["lower"] *= 0.7
    values["middle"] += 0.1
    values["upper"] += 0.05
    torch.testing.assert_close(structured(values), papers_formula(values))


def test_gradients():
    values = moved(4, 0.1, 1)
    tensors = [value.requires_grad_() for value in values.values()]
    assert torch.autograd.gradcheck(lambda *x: structured(dict(zip(values, x, strict=True))), tensors)


@pytest.mark.parametrize("name", ["lower", "middle", "log_P", "log_Q", "log_D"])
def test_initial_values_have_gradients(name):
    """LegS lies on the bound of the stable matrices; its values must not be stuck there."""
    values = {key: value.requires_grad_() for key, value in legs_structure(6).items()}
    (gradient,) = torch.autograd.grad(structured(values).square().sum(), values[name])
    assert (gradient != 0).all()
