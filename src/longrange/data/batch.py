"""The record that every data module yields and every training loop takes."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """A batch of sequences.

    Attributes:
        inputs: (B, L) int64 token ids or (B, L, C) float; a paired task stacks 2B rows, all first
            sequences, then all second ones. What stands beyond a sequence's length is never read.
        lengths: valid steps of each row of `inputs`, int64; None when every row is full.
        targets: (B,) int64 classes or (B, output_size) float values.
    """

    inputs: Tensor
    lengths: Tensor | None
    targets: Tensor
