"""torch.compile on a block gives the eager result; the state-space maths stays outside of what is compiled."""

import shutil

import pytest
import torch

from longrange.layers import LSSL, S4, S4D, S5
from longrange.models import ResidualBlock

BACKEND = "inductor" if shutil.which("g++") else "aot_eager"
BLOCKS = {
    "s4-glu-batch": (S4, "glu", "batch", True),
    "s4d-glu-layer": (S4D, "glu", "layer", False),
    "s5-half_glu2-batch": (S5, "half_glu2", "batch", True),
    "lssl-linear-layer": (LSSL, "linear", "layer", True),
}


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "activation", "norm", "prenorm"), BLOCKS.values(), ids=BLOCKS)
def test_compiled_equals_eager(layer, activation, norm, prenorm):
    torch.manual_seed(0)
    torch.compiler.reset()
    block = ResidualBlock(8, layer(8, d_state=8), norm=norm, activation=activation, prenorm=prenorm)
    block.layer.attune(33)
    x = torch.randn(2, 33, 8, requires_grad=True)
    lengths = torch.tensor([33, 20])
    cotangent = torch.randn(2, 33, 8) * (torch.arange(33) < lengths[:, None])[..., None]
    inputs = [x, *block.parameters()]
    eager = block(x, lengths)
    compiled = torch.compile(block, backend=BACKEND)(x, lengths)
    for ours, twin in zip(both(compiled, cotangent, inputs), both(eager, cotangent, inputs), strict=True):
        assert (ours - twin).abs().max() < 1e-4 * (1e-3 + twin.abs().max())


def both(y, cotangent, inputs):
    return [y.detach() * (cotangent != 0), *torch.autograd.grad((y * cotangent).sum(), inputs)]
