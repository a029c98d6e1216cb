"""From sequences laid end to end to one rectangular batch."""

import numpy as np


def pad(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray, fill: int = 0) -> np.ndarray:
    """Gather sequences and pad them on the right to the longest of them.

    Args:
        values: all sequences end to end, (sum of lengths,) integers.
        starts: where each wanted sequence begins in `values`, (B,) int64.
        lengths: how long each is, (B,) int64.
        fill: what stands in the padding.
    Returns:
        (B, max of lengths) int64.
    """
    steps = np.arange(lengths.max())
    inside = steps < lengths[:, None]
    rows = np.full(inside.shape, fill, np.int64)
    rows[inside] = values[(starts[:, None] + steps)[inside]]
    return rows
