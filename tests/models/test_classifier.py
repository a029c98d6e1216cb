"""The whole stack: padding is nothing, modes, errors, gradients everywhere."""

from functools import partial

import pytest
import torch

from longrange.errors import ConfigError
from longrange.layers import S5
from longrange.models import Encoder, ResidualBlock, SequenceClassifier, TaskSpec

TOKENS = TaskSpec("toy", "tokens", input_size=7, output_size=3, max_length=30, variable_length=True)
CONTINUOUS = TaskSpec("toy", "continuous", input_size=2, output_size=3, max_length=30, variable_length=True)
PAIRED = TaskSpec("toy", "tokens", input_size=7, output_size=2, max_length=30, paired=True)


def build(spec=TOKENS, *, block=None, encoder=None, **options):
    torch.manual_seed(0)
    return SequenceClassifier(
        spec,
        8,
        2,
        layer=partial(S5, d_state=8, n_blocks=2, bidirectional=True),
        block=partial(ResidualBlock, **block or {}),
        encoder=partial(Encoder, **encoder or {}),
        **options,
    )


def inputs_of(spec, batch, length):
    draw = torch.Generator().manual_seed(1)
    if spec.kind == "tokens":
        return torch.randint(0, spec.input_size, (batch, length), generator=draw)
    return torch.randn(batch, length, spec.input_size, generator=draw)


@pytest.mark.parametrize("spec", [TOKENS, CONTINUOUS], ids=["tokens", "continuous"])
@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize(
    "block",
    [{}, {"prenorm": False}, {"norm": "layer", "prenorm": False}],
    ids=["batch-pre", "batch-post", "layer-post"],
)
@pytest.mark.parametrize("training", [True, False])
def test_padding_changes_no_output_statistic_or_gradient(spec, pooling, block, training):
    lengths = torch.tensor([20, 11, 1])
    clean = inputs_of(spec, 3, 20)
    junk = 10**6 if spec.kind == "tokens" else float("nan")
    dirty = torch.cat([clean, torch.full_like(clean[:, :9], junk)], dim=1)
    for row, length in enumerate(lengths):
        dirty[row, length:] = junk
    results = []
    for inputs in (clean, dirty):
        model = build(spec, block=block, pooling=pooling).train(training)
        scores = model(inputs, lengths)
        scores.square().sum().backward()
        gradients = {f"grad {name}": p.grad for name, p in model.named_parameters()}
        results.append({"scores": scores.detach(), **gradients, **dict(model.named_buffers())})
    for name, value in results[0].items():
        assert (results[1][name] - value).abs().max() <= 1e-6 * value.abs().max().clamp(min=1), name


def test_a_sequence_alone_scores_as_in_a_batch():
    model, inputs, lengths = build().eval(), inputs_of(TOKENS, 3, 20), torch.tensor([20, 11, 1])
    together = model(inputs, lengths)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(model(inputs[row : row + 1, :length])[0], together[row], rtol=0, atol=1e-6)


@pytest.mark.parametrize("activation", ["full_glu", "half_glu1", "half_glu2", "gelu"])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_every_parameter_gets_a_gradient(activation, norm):
    model = build(block={"activation": activation, "norm": norm, "dropout": 0.1})
    model(inputs_of(TOKENS, 3, 20), torch.tensor([20, 11, 5])).square().sum().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_onehot_encoder_is_a_dense_layer_on_onehot_vectors():
    encoder = Encoder(TOKENS, 8, width=9)
    torch.nn.init.normal_(encoder.map.bias)
    ids = inputs_of(TOKENS, 2, 5)
    dense = torch.nn.functional.one_hot(ids, 9).float() @ encoder.map.table + encoder.map.bias
    torch.testing.assert_close(encoder(ids), dense)
    assert len(list(Encoder(TOKENS, 8, tokens="embedding").parameters())) == 1


def test_paired_documents_meet_only_in_the_head():
    """What one tower encodes does not depend on the other document."""
    model, documents = build(PAIRED).eval(), inputs_of(PAIRED, 6, 20)
    seen = []
    model.head.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].detach()))
    other = documents.clone()
    other[3:] = (other[3:] + 1) % 7
    assert model(documents).shape == (3, 2)
    model(other)
    assert torch.equal(seen[0][:3], seen[1][:3])
    assert not torch.allclose(seen[0][3:], seen[1][3:])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "max"}, "model.pooling=max"),
        ({"encoder": {"width": 3}}, "has 7 token ids"),
        ({"block": {"activation": "relu"}}, "model: activation='relu'"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        build(**options)


def test_no_parameter_is_complex():
    """Distributed training loses the imaginary part of complex gradients; every parameter must be real."""
    assert not any(p.is_complex() for p in build().parameters())


@pytest.mark.parametrize("spec", [TOKENS, CONTINUOUS], ids=["tokens", "continuous"])
@pytest.mark.parametrize("lengths", [None, torch.tensor([19, 11, 1])], ids=["full", "padded"])
def test_bfloat16_autocast_trains(spec, lengths):
    """At an odd length; scores stay near those of float32 and every gradient is float32 and finite."""
    model, inputs = build(spec), inputs_of(spec, 3, 19)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = model(inputs, lengths)
    scores.float().square().sum().backward()
    assert (scores.float() - model(inputs, lengths)).abs().max() < 0.1
    assert all(p.grad.isfinite().all() and p.grad.dtype == torch.float32 for p in model.parameters())


@pytest.mark.parametrize("training", [True, False])
def test_lengths_of_other_sequences_are_refused(training):
    model = build().train(training)
    with pytest.raises(ValueError, match=r"lengths of shape \(1,\): must be \(3,\), one for each sequence"):
        model(inputs_of(TOKENS, 3, 20), torch.tensor([10]))


def test_a_table_begins_as_the_dense_layer_it_is():
    """On one-hot vectors, LeCun-normal with as many inputs as rows; the embedding of the S4 code is standard normal."""
    torch.manual_seed(0)
    variances = {kind: Encoder(TOKENS, 512, tokens=kind, width=50).map.table.var() for kind in ("onehot", "embedding")}
    assert variances["onehot"].item() == pytest.approx(1 / 50, rel=0.05)
    assert variances["embedding"].item() == pytest.approx(1.0, rel=0.05)
