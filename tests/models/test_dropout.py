"""Dropout of a batch that is computed in parts: each example is treated as in the whole batch."""

import pytest
import torch

from longrange.models.dropout import Dropout, Part, WholeBatchDraws

CPU = torch.device("cpu")


def scales(part: Part | None, rows: int, tied: bool) -> list[torch.Tensor]:
    """Of two layers in a step, for `rows` sequences of the part; of the whole batch by torch's generator for None."""
    layers = [Dropout(0.4, tied), Dropout(0.2, tied)]
    torch.manual_seed(5)
    if part is not None:
        draws = WholeBatchDraws(part, 5, CPU)
        for layer in layers:
            layer.draws = draws
    return [layer.scale(torch.zeros(rows, 3, 6)) for layer in layers]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("batch_size", "parts"), [(8, 2), (7, 3), (4, 4), (5, 1)])
def test_parts_are_those_of_the_whole_batch(batch_size, parts, tied):
    whole = scales(None, batch_size, tied)
    for first in range(parts):
        part = Part(first, parts, batch_size)
        assert part.size == len(torch.arange(batch_size)[first::parts])
        for ours, theirs in zip(scales(part, part.size, tied), whole, strict=True):
            assert torch.equal(ours, theirs[first::parts])


def test_both_documents_of_a_pair_are_in_the_same_part():
    """Rows of pairs: all first documents, then all second ones."""
    firsts, seconds = scales(None, 10, True)[0].chunk(2)
    ours = scales(Part(1, 2, 5), 4, True)[0]
    assert torch.equal(ours, torch.cat([firsts[1::2], seconds[1::2]]))
