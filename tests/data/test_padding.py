"""Gathering sequences into a rectangle."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.data.padding import pad


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 255), min_size=1, max_size=9), min_size=1, max_size=8), st.data())
def test_pad_is_the_loop_over_rows(sequences, data):
    values = np.array([value for sequence in sequences for value in sequence], np.uint8)
    lengths = np.array([len(sequence) for sequence in sequences])
    starts = np.cumsum(lengths) - lengths
    chosen = data.draw(st.lists(st.integers(0, len(sequences) - 1), min_size=1, max_size=6))
    rows = pad(values, starts[chosen], lengths[chosen], fill=7)
    longest = max(len(sequences[i]) for i in chosen)
    assert rows.dtype == np.int64
    assert rows.tolist() == [sequences[i] + [7] * (longest - len(sequences[i])) for i in chosen]
