"""The hot loops against the published rows, against slow twins, and against the published figures."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import fftconvolve
from scipy.stats import chisquare, ks_2samp

from longrange.data.generate.expressions import (
    CLOSE,
    MALFORMED,
    MAX,
    MED,
    MIN,
    SM,
    SYMBOLS,
    answer,
    answers,
    draw_many,
    write_rows,
)


def symbols_of(text: str) -> np.ndarray:
    return np.array([SYMBOLS.index(token) for token in text.split() if token not in "()"], np.uint8)


def random_state(seed: int) -> np.ndarray:
    return np.array([seed], np.uint64)


def tree_value(tree) -> int:
    """The meaning of a tree (operator, arguments), as the papers state it."""
    if isinstance(tree, int):
        return tree
    operator, arguments = tree
    values = [tree_value(argument) for argument in arguments]
    return {MIN: min, MAX: max, MED: lambda v: int(np.median(v)), SM: lambda v: sum(v) % 10}[operator](values)


def tree_symbols(tree) -> list[int]:
    if isinstance(tree, int):
        return [tree]
    return [tree[0], *(symbol for argument in tree[1] for symbol in tree_symbols(argument)), CLOSE]


def tree_text(tree) -> str:
    """The published text: pairs nested to the left, the bracket in the outermost."""
    if isinstance(tree, int):
        return str(tree)
    text = SYMBOLS[tree[0]]
    for argument in [*map(tree_text, tree[1]), "]"]:
        text = f"( {text} {argument} )"
    return text


def tree_at(draw: random.Random, depth: int, max_depth: int, max_args: int, p_operator: float):
    """The published rule of a node."""
    if depth == max_depth or draw.random() > p_operator:
        return draw.randrange(10)
    n = draw.randint(2, max_args)
    arguments = [tree_at(draw, depth + 1, max_depth, max_args, p_operator) for _ in range(n)]
    return draw.choice([MIN, MAX, MED, SM]), arguments


trees = st.recursive(
    st.integers(0, 9),
    lambda node: st.tuples(st.sampled_from([MIN, MAX, MED, SM]), st.lists(node, min_size=2, max_size=10)),
    max_leaves=60,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("[MIN 4 2 9 ]", 2),
        ("[MAX 4 2 9 ]", 9),
        ("[SM 4 9 9 ]", 2),
        ("[MED 9 1 5 ]", 5),
        ("[MED 1 4 ]", 2),
        ("[MED 9 0 8 1 ]", 4),
        ("[MAX 2 9 [MIN 4 7 ] 0 ]", 9),
        ("[SM [MED 1 2 ] [SM 9 9 ] 3 ]", 2),
    ],
)
def test_operators(text, value):
    assert answer(symbols_of(text)) == value


@pytest.mark.parametrize(
    "symbols",
    [[], [1, 2], [CLOSE], [MIN, CLOSE], [MIN, 1], [1, CLOSE], [MIN, 1, CLOSE, CLOSE], [15], [MAX, 3, 255, CLOSE]],
)
def test_malformed_expressions_have_no_answer(symbols):
    assert answer(np.array(symbols, np.uint8)) == MALFORMED


@settings(deadline=None)
@given(trees)
def test_answer_and_text_agree_with_the_tree(tree):
    symbols = np.array(tree_symbols(tree), np.uint8)
    assert answer(symbols) == tree_value(tree)
    row = write_rows(symbols, np.array([len(symbols)]), np.array([answer(symbols)], np.uint8)).tobytes().decode()
    assert row == f"{tree_text(tree)}\t{tree_value(tree)}\r\n"


def test_published_rows_are_answered_and_written_to_the_byte(official):
    published = official.read_bytes()
    rows = [row.split("\t") for row in published.decode().splitlines()[1:]]
    expressions = [symbols_of(source) for source, _ in rows]
    symbols, ends = np.concatenate(expressions), np.cumsum([len(e) for e in expressions])
    values = answers(symbols, ends)
    assert len(rows) == 200
    assert values.tolist() == [int(target) for _, target in rows]
    assert b"Source\tTarget\r\n" + write_rows(symbols, ends, values).tobytes() == published


def length_law(most: int, max_depth: int, max_args: int, p_operator: float) -> np.ndarray:
    """Probability of each length 0..most: the rule of a node as power series, one factor for each argument."""
    tree = leaf = np.eye(1, most + 1, 1)[0]
    for _ in range(max_depth - 1):
        power, lists = tree, np.zeros(most + 1)
        for _ in range(2, max_args + 1):
            power = fftconvolve(power, tree)[: most + 1]
            lists += power / (max_args - 1)
        tree = (1 - p_operator) * leaf + p_operator * np.concatenate([[0, 0], lists[:-2]])
    return tree


def test_lengths_follow_the_exact_law():
    """The published recipe accepts 8.28% of the draws; accepted expressions have 1035 tokens in the mean."""
    draws, least, most = 1 << 19, 501, 1999
    law = length_law(most, 10, 10, 0.25)[least:]
    accepted, mean = law.sum(), np.average(np.arange(least, most + 1), weights=law)
    assert accepted == pytest.approx(0.0828, abs=1e-4)
    assert mean == pytest.approx(1035, abs=0.1)
    _, ends = draw_many(random_state(1), draws, least, most, 10, 10, 0.25)
    lengths = np.diff(ends, prepend=0)
    counts = np.bincount(lengths - least, minlength=len(law))
    bins = np.arange(0, len(law), 50)
    expected = np.add.reduceat(law, bins) * len(ends) / accepted
    assert abs(len(ends) - draws * accepted) < 4 * np.sqrt(draws * accepted)
    assert chisquare(np.add.reduceat(counts, bins), expected).pvalue > 1e-3


def test_published_figures():
    """Measured on the published generator, 11,600 expressions: 8.27% accepted, mean length 1044, class shares."""
    draws = 1 << 17
    symbols, ends = draw_many(random_state(6), draws, 501, 1999, 10, 10, 0.25)
    values = answers(symbols, ends)
    shares = np.bincount(values, minlength=10) / len(values)
    assert len(ends) / draws == pytest.approx(0.0827, abs=0.004)
    assert len(symbols) / len(ends) == pytest.approx(1044, abs=20)
    assert shares[[0, 9]] == pytest.approx([0.171, 0.166], abs=0.015)
    assert ((shares[1:9] > 0.065) & (shares[1:9] < 0.101)).all()


@pytest.mark.parametrize(("max_depth", "max_args", "p_operator"), [(6, 10, 0.25), (4, 3, 0.6)])
def test_draws_follow_the_published_rule(max_depth, max_args, p_operator):
    """Acceptance, lengths, symbols and arguments, all against the rule written out as a recursion."""
    draws, least, most = 40_000, 4, 60
    fast, ends = draw_many(random_state(2), draws, least, most, max_depth, max_args, p_operator)
    generator = random.Random(3)
    twins = [tree_symbols(tree_at(generator, 1, max_depth, max_args, p_operator)) for _ in range(draws)]
    kept = [twin for twin in twins if least <= len(twin) <= most]
    deviation = np.sqrt(2 * draws * (len(kept) / draws) * (1 - len(kept) / draws))
    assert abs(len(ends) - len(kept)) < 4 * deviation
    assert ks_2samp(np.diff(ends, prepend=0), [len(twin) for twin in kept]).pvalue > 1e-3
    frequency = np.bincount(fast, minlength=len(SYMBOLS)) / len(fast)
    expected = np.bincount(np.concatenate(kept), minlength=len(SYMBOLS)) / sum(map(len, kept))
    np.testing.assert_allclose(frequency, expected, atol=0.01)


def test_a_too_long_expression_is_given_up_at_the_limit():
    symbols, ends = draw_many(random_state(4), 2000, 1, 3, 10, 10, 0.9)
    assert set(np.diff(ends, prepend=0)) <= {1}  # the smallest operator takes four symbols
    assert len(symbols) == len(ends)
    assert 0 < len(ends) < 2000
