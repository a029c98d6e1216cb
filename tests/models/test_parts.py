"""Dropout, activations, pooling and heads, each against its formula."""

import pytest
import torch
from torch.nn import functional as F

from longrange.models.activation import make_activation
from longrange.models.dropout import SharedDropout
from longrange.models.head import PairHead
from longrange.models.pooling import POOLINGS


def test_dropout_mask_is_shared_along_time_and_keeps_the_mean():
    torch.manual_seed(0)
    y = SharedDropout(0.25)(torch.ones(50, 7, 400))
    assert (y == y[:, :1]).all()
    torch.testing.assert_close(y.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert abs(y.mean().item() - 1) < 0.02
    assert (SharedDropout(0.25).eval()(torch.ones(2, 3, 4)) == 1).all()


def gates(activation, x):
    g = F.gelu(x, approximate="tanh")
    return g, torch.sigmoid(g @ activation.gate.weight.T + activation.gate.bias)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("gelu", lambda a, x: F.gelu(x, approximate="tanh")),
        ("half_glu1", lambda a, x: gates(a, x)[0] * gates(a, x)[1]),
        ("half_glu2", lambda a, x: x * gates(a, x)[1]),
        ("full_glu", lambda a, x: (gates(a, x)[0] @ a.value.weight.T + a.value.bias) * gates(a, x)[1]),
    ],
)
def test_activation_equals_its_formula(name, formula):
    torch.manual_seed(0)
    activation, x = make_activation(name, 6, 0.0), torch.randn(2, 5, 6)
    torch.testing.assert_close(activation(x), formula(activation, x))


def test_an_unknown_activation_is_named():
    with pytest.raises(ValueError, match="half_glu1"):
        make_activation("half_glu", 6, 0.0)


def test_pooling_takes_valid_steps_only():
    x = torch.arange(12.0).view(2, 3, 2)
    x[1, 1:] = float("nan")
    lengths = torch.tensor([3, 1])
    torch.testing.assert_close(POOLINGS["mean"](x, lengths), torch.tensor([[2.0, 3.0], [6.0, 7.0]]))
    torch.testing.assert_close(POOLINGS["last"](x, lengths), torch.tensor([[4.0, 5.0], [6.0, 7.0]]))
    torch.testing.assert_close(POOLINGS["mean"](x[:1], None), POOLINGS["mean"](x[:1], lengths[:1]))
    torch.testing.assert_close(POOLINGS["last"](x[:1], None), POOLINGS["last"](x[:1], lengths[:1]))


def test_pair_head_compares_row_b_with_row_b_of_the_second_half():
    torch.manual_seed(0)
    head, x = PairHead(4, 2), torch.randn(6, 4)
    first, second = x[:3], x[3:]
    features = torch.cat([first, second, first - second, first * second], dim=1)
    torch.testing.assert_close(head(x), head.out(F.gelu(head.hidden(features))))
