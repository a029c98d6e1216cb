"""A stack of blocks, whose inner values may be computed again in the backward pass instead of being kept for it.

Source: Chen et al., training deep nets with sublinear memory cost (arXiv 1604.06174).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Generator, Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from longrange.models.dropout import Dropout
from longrange.models.norm import Norm


def through(
    blocks: Iterable[nn.Module], x: Tensor, lengths: Tensor | None, rate: float = 1.0, *, recompute: bool
) -> Tensor:
    """One block after the other.

    Args:
        blocks: each takes and returns (B, L, H).
        x: (B, L, H) float.
        lengths: valid steps, (B,) int64; None where every step is valid.
        rate: factor on the time step.
        recompute: keep only what passes from block to block until the backward pass, where blocks are in training.
    """
    for block in blocks:
        x = _recomputed(block, x, lengths, rate) if recompute and block.training else block(x, lengths, rate)
    return x


def _recomputed(block: nn.Module, x: Tensor, *arguments: Tensor | float | None) -> Tensor:
    """The block, run again in the backward pass: the same numbers in dropout, running statistics left alone."""
    own = [module.draws.generator for module in block.modules() if isinstance(module, Dropout) and module.draws]
    states = [generator.get_state() for generator in own]
    passes = 0

    def run(x: Tensor) -> Tensor:
        nonlocal passes
        passes += 1
        if passes == 1:
            return block(x, *arguments)
        norms = [(name, module) for name, module in block.named_modules() if isinstance(module, Norm)]
        spare = {name: buffer.clone() for at, norm in norms for name, buffer in norm.named_buffers(at)}
        with _rewound(own, states):
            return functional_call(block, spare, (x, *arguments))

    return checkpoint(run, x, use_reentrant=False)


@contextmanager
def _rewound(generators: list[Generator], states: list[Tensor]) -> Iterator[None]:
    """Generators as they were in earlier states, for the time being."""
    present = [generator.get_state() for generator in generators]
    try:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
        yield
    finally:
        for generator, state in zip(generators, present, strict=True):
            generator.set_state(state)
