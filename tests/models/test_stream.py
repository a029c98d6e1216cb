"""A classifier on a stream gives, after every step, what it gives for the whole sequence so far."""

from functools import partial

import pytest
import torch

from longrange.layers import LSSL, S4, S4D, S5
from longrange.models import ResidualBlock, SequenceClassifier, Stream, TaskSpec

LAYERS = {"s4": S4, "s4d": S4D, "s5": S5, "lssl": LSSL}
TOKENS = TaskSpec("toy", "tokens", input_size=7, output_size=3, max_length=20)
SIGNAL = TaskSpec("toy", "continuous", input_size=2, output_size=3, max_length=20)
ACTIVATIONS = {"s4": "glu", "s4d": "linear", "s5": "half_glu2", "lssl": "linear"}


def trained(name, spec=TOKENS, prenorm=True, **options):
    """A model whose batch norms have seen data, in evaluation mode."""
    torch.manual_seed(0)
    block = partial(ResidualBlock, activation=ACTIVATIONS[name], prenorm=prenorm, dropout=0.2)
    layer = partial(LAYERS[name], d_state=4)
    model = SequenceClassifier(spec, 6, 2, layer=layer, block=block, **options).double()
    model(sequences(spec))
    return model.eval()


def sequences(spec, L=20):
    draw = torch.Generator().manual_seed(1)
    if spec.kind == "tokens":
        return torch.randint(7, (3, L), generator=draw)
    return torch.randn(3, L, 2, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("prenorm", [True, False])
@pytest.mark.parametrize("spec", [TOKENS, SIGNAL], ids=["tokens", "signal"])
@pytest.mark.parametrize("name", LAYERS)
def test_every_step_scores_as_the_sequence_so_far(name, spec, prenorm, pooling):
    model, inputs = trained(name, spec, prenorm, pooling=pooling, final_norm=prenorm), sequences(spec)
    stream = Stream(model)
    _, state = stream.prefill(inputs[:, :9], stream.initial_state(3))
    for k in range(9, 20):
        scores, state = stream.step(inputs[:, k], state)
        torch.testing.assert_close(scores, model(inputs[:, : k + 1]), rtol=1e-9, atol=1e-9)


def test_rate_is_that_of_the_whole_sequence():
    model, inputs = trained("s5"), sequences(TOKENS)
    stream = Stream(model, rate=2.0)
    scores, _ = stream.prefill(inputs, stream.initial_state(3))
    torch.testing.assert_close(scores, model(inputs, rate=2.0), rtol=1e-9, atol=1e-9)


def test_what_cannot_stream_is_refused():
    with pytest.raises(ValueError, match=r"call model\.eval\(\) first"):
        Stream(trained("s5").train())
    with pytest.raises(ValueError, match="bidirectional"):
        Stream(SequenceClassifier(TOKENS, 6, 1, layer=partial(S5, bidirectional=True)).eval())
    pair = TaskSpec("pair", "tokens", input_size=7, output_size=2, max_length=20, paired=True)
    with pytest.raises(ValueError, match="compares two sequences"):
        Stream(SequenceClassifier(pair, 6, 1, layer=S5).eval())
