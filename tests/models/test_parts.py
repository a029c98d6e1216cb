"""Dropout, activations, pooling and heads, each against its formula."""

import pytest
import torch
from torch.nn import functional as F

from longrange.errors import ConfigError
from longrange.layers import SequenceLayer
from longrange.models import ResidualBlock, TaskSpec
from longrange.models.activation import make_activation
from longrange.models.dense import Dense, Linear
from longrange.models.dropout import Dropout
from longrange.models.encoder import Encoder
from longrange.models.head import PairHead, RegressionHead
from longrange.models.pooling import POOLINGS


def test_tied_dropout_drops_features_of_a_sequence_and_keeps_the_mean():
    torch.manual_seed(0)
    scale = Dropout(0.25).scale(torch.ones(50, 7, 400))
    assert scale.shape == (50, 1, 400)
    torch.testing.assert_close(scale.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert abs(scale.mean().item() - 1) < 0.02


def test_untied_dropout_drops_elements():
    torch.manual_seed(0)
    scale = Dropout(0.25, tied=False).scale(torch.ones(5, 70, 40, dtype=torch.float64))
    assert scale.shape == (5, 70, 40)
    assert scale.dtype == torch.float64
    assert ((scale == 0).double().mean((0, 2)) - 0.25).abs().max() < 0.1
    assert not (scale == scale[:, :1]).all()


def test_dropout_does_nothing_in_evaluation_and_at_zero():
    x = torch.ones(2, 3, 4)
    assert Dropout(0.25).eval().scale(x) is None
    assert Dropout(0.0).scale(x) is None


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_a_dropout_out_of_range_is_named(p):
    with pytest.raises(ValueError, match=f"dropout={p}"):
        Dropout(p)


def gates(activation, x):
    g = F.gelu(x, approximate="tanh")
    return g, torch.sigmoid(g @ activation.gate.weight.T + activation.gate.bias)


FORMULAS = {
    "gelu": lambda a, x: F.gelu(x, approximate="tanh"),
    "half_glu1": lambda a, x: gates(a, x)[0] * gates(a, x)[1],
    "half_glu2": lambda a, x: x * gates(a, x)[1],
    "full_glu": lambda a, x: F.linear(gates(a, x)[0], a.value.weight, a.value.bias) * gates(a, x)[1],
    "glu": lambda a, x: F.glu(F.linear(F.gelu(x), a.mix.weight, a.mix.bias)),
    "linear": lambda a, x: F.linear(F.gelu(x), a.mix.weight, a.mix.bias),
}


@pytest.mark.parametrize(("name", "channels"), [*((name, 1) for name in FORMULAS), ("glu", 3), ("linear", 3)])
def test_activation_equals_its_formula(name, channels):
    torch.manual_seed(0)
    activation = make_activation(name, 6 * channels, 6, 0.0)
    x, skip = torch.randn(2, 5, 6 * channels), torch.randn(2, 5, 6)
    torch.testing.assert_close(activation(x, skip), skip + FORMULAS[name](activation, x))


# The factors that dropout draws, in order, applied by hand: `d` holds them.
DROPPED = {
    "gelu": lambda a, x, d: d[0] * F.gelu(x, approximate="tanh"),
    "half_glu1": lambda a, x, d: d[1] * (g := d[0] * F.gelu(x, approximate="tanh")) * torch.sigmoid(a.gate(g)),
    "half_glu2": lambda a, x, d: d[1] * x * torch.sigmoid(a.gate(d[0] * F.gelu(x, approximate="tanh"))),
    "full_glu": lambda a, x, d: d[1] * a.value(g := d[0] * F.gelu(x, approximate="tanh")) * torch.sigmoid(a.gate(g)),
    "glu": lambda a, x, d: d[2] * F.glu(a.mix(d[1] * F.gelu(d[0] * x))),
    "linear": lambda a, x, d: d[1] * a.mix(d[0] * F.gelu(x)),
}


@pytest.mark.parametrize("name", DROPPED)
@pytest.mark.parametrize("tied", [True, False])
def test_dropout_lies_where_the_papers_code_has_it(name, tied, monkeypatch):
    torch.manual_seed(0)
    activation, drawn = make_activation(name, 6, 6, 0.4, tied), []
    scale = Dropout.scale

    def record(self, x):
        drawn.append(scale(self, x))
        return drawn[-1]

    monkeypatch.setattr(Dropout, "scale", record)
    x, skip = torch.randn(2, 5, 6), torch.randn(2, 5, 6)
    y = activation(x, skip)
    torch.testing.assert_close(y, skip + DROPPED[name](activation, x, drawn))
    assert all(factor.shape == (2, 1 if tied else 5, 6) for factor in drawn)
    torch.testing.assert_close(activation.eval()(x, skip), skip + FORMULAS[name](activation, x))


def test_an_unknown_activation_is_named():
    with pytest.raises(ValueError, match="half_glu1"):
        make_activation("half_glu", 6, 6, 0.0)


def test_channels_need_an_activation_that_mixes_them():
    with pytest.raises(ValueError, match=r"activation='half_glu1': .* 12 outputs .* 6; .* glu or linear"):
        make_activation("half_glu1", 12, 6, 0.0)


def test_initial_values_of_the_dense_layers():
    torch.manual_seed(0)
    plain, dense = Linear(100, 400), Dense(100, 400)
    for p in (plain.weight, plain.bias):
        assert 0.099 < p.abs().max() <= 0.1
        assert abs(p.std().item() - 0.1 / 3**0.5) < 0.004
    assert abs(dense.weight.std().item() - 0.1) < 0.002
    assert not dense.bias.any()


def test_pooling_takes_valid_steps_only():
    x = torch.arange(12.0).view(2, 3, 2)
    x[1, 1:] = float("nan")
    lengths = torch.tensor([3, 1])
    torch.testing.assert_close(POOLINGS["mean"](x, lengths), torch.tensor([[2.0, 3.0], [6.0, 7.0]]))
    torch.testing.assert_close(POOLINGS["last"](x, lengths), torch.tensor([[4.0, 5.0], [6.0, 7.0]]))
    torch.testing.assert_close(POOLINGS["mean"](x[:1], None), POOLINGS["mean"](x[:1], lengths[:1]))
    torch.testing.assert_close(POOLINGS["last"](x[:1], None), POOLINGS["last"](x[:1], lengths[:1]))


@pytest.mark.parametrize("pool", POOLINGS.values(), ids=POOLINGS)
def test_a_length_above_that_of_the_batch_is_the_whole_sequence(pool):
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(pool(x, torch.tensor([7, 3])), pool(x, torch.tensor([5, 3])))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"kind": "token"}, "task toy: kind=token: must be tokens or continuous"),
        ({"loss": "nll"}, "task toy: loss=nll: must be cross_entropy or mse"),
        ({"max_length": 0}, "task toy: max_length=0: must be at least 1"),
    ],
)
def test_a_task_of_unknown_shape_is_refused(changed, told):
    with pytest.raises(ConfigError, match=told):
        TaskSpec(**{"name": "toy", "kind": "tokens", "input_size": 3, "output_size": 2, "max_length": 5} | changed)


def test_an_unknown_table_of_tokens_is_refused():
    with pytest.raises(ConfigError, match=r"model\.encoder\.tokens=one-hot: must be one of onehot, embedding"):
        Encoder(TaskSpec("toy", "tokens", 3, 2, 5), 4, tokens="one-hot")


def test_pair_head_compares_row_b_with_row_b_of_the_second_half():
    torch.manual_seed(0)
    head, x = PairHead(4, 2), torch.randn(6, 4)
    first, second = x[:3], x[3:]
    features = torch.cat([first, second, first - second, first * second], dim=1)
    torch.testing.assert_close(head(x), head.out(F.gelu(head.hidden(features))))


class Repeated(SequenceLayer):
    """Two channels: the input, twice."""

    d_model, d_output, bidirectional = 6, 12, False

    def forward(self, u, lengths=None, rate=1.0):
        return torch.cat([u, u], dim=-1)

    def time_steps(self, rate=1.0):
        raise NotImplementedError

    def spectral_radius(self, rate=1.0):
        raise NotImplementedError

    def _recurrence(self, rate):
        raise NotImplementedError


@pytest.mark.parametrize("prenorm", [True, False])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_block_is_its_formula_for_a_layer_of_two_channels(norm, prenorm):
    torch.manual_seed(0)
    block, x = ResidualBlock(6, Repeated(), norm=norm, prenorm=prenorm, activation="glu"), torch.randn(2, 5, 6)
    branch = block.norm(x) if prenorm else x
    y = x + FORMULAS["glu"](block.activation, torch.cat([branch, branch], dim=-1))
    torch.testing.assert_close(block(x), y if prenorm else block.norm(y))


def test_block_hands_its_dropout_to_the_activation():
    drop = ResidualBlock(6, Repeated(), activation="linear", dropout=0.3, tie_dropout=False).activation.drop
    assert (drop.p, drop.tied) == (0.3, False)


def test_a_regression_is_linear_around_the_mean_of_its_targets_in_their_deviations():
    head, x = RegressionHead(4, 2), torch.randn(3, 4)
    head.calibrate(torch.tensor([[80.0, 5.0], [100.0, 5.0]]))
    expected = torch.tensor([90.0, 5.0]) + torch.tensor([10.0, 1.0]) * F.linear(x, head.weight, head.bias)
    torch.testing.assert_close(head(x), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert head(x).dtype == torch.float32
