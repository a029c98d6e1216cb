"""Blocks computed again in the backward pass give the same training, bit for bit, and keep less."""

from functools import partial

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from longrange.layers import LSSL, S4, S5, lssl
from longrange.models import ResidualBlock, SequenceClassifier, TaskSpec
from longrange.models.dropout import Dropout, Part, WholeBatchDraws

SPEC = TaskSpec("toy", "continuous", input_size=2, output_size=3, max_length=24, variable_length=True)
LAYERS = {
    "s4": partial(S4, d_state=8, l_max=24),
    "s5": partial(S5, d_state=8, n_blocks=2, bidirectional=True),
    "lssl": partial(LSSL, d_state=8),
}


def test_a_fixed_system_is_discretised_once(monkeypatch):
    made, discretise = [], lssl._fixed_system
    monkeypatch.setattr(lssl, "_fixed_system", lambda *args: made.append(1) or discretise(*args))
    model = SequenceClassifier(SPEC, 6, 2, layer=partial(LSSL, d_state=8, trainable=False), recompute=True)
    for _ in range(3):
        model(torch.randn(4, 24, 2)).sum().backward()
    assert len(made) == 2


def trained(recompute, layer, in_parts=False):
    """Outputs, gradients and running statistics of two steps, and the bytes that were kept for the backward passes."""
    torch.manual_seed(0)
    block = partial(ResidualBlock, dropout=0.3)
    model = SequenceClassifier(SPEC, 6, 3, layer=layer, block=block, recompute=recompute)
    x, lengths, kept, seen = torch.randn(4, 24, 2), torch.tensor([24, 9, 1, 20]), [], []
    for step in range(2):
        for dropout in (module for module in model.modules() if in_parts and isinstance(module, Dropout)):
            dropout.draws = WholeBatchDraws(Part(0, 2, 8), step, x.device)
        with saved_tensors_hooks(lambda saved: (kept.append(saved.nbytes), saved)[1], lambda saved: saved):
            y = model(x, lengths)
        y.square().sum().backward()
        seen.append(y)
    return [*seen, *(p.grad for p in model.parameters()), *model.buffers(), torch.rand(1)], sum(kept)


@pytest.mark.parametrize("in_parts", [False, True], ids=["own draws", "draws of the whole batch"])
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_the_training_is_the_same(layer, in_parts):
    (plain, kept), (again, kept_again) = (trained(recompute, layer, in_parts) for recompute in (False, True))
    for expected, found in zip(plain, again, strict=True):
        assert torch.equal(expected, found)
    assert kept_again < kept / 3
