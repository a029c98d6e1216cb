"""Hot loops over ListOps expressions: draw one, compute its answer, write its text.

An expression is a row of symbols, small integers in the order of `SYMBOLS`: digits, operators, closing bracket. Trees
are never built: an operator stands before its arguments and `]` after them, which says the same. Every loop here
runs without the interpreter lock, so that threads share the work.
"""

import numpy as np

from longrange.data.generate.splitmix import below, compiled, uniform

SYMBOLS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "[MIN", "[MAX", "[MED", "[SM", "]")
MIN, MAX, MED, SM, CLOSE = range(10, 15)
HEADER = b"Source\tTarget"
N_OPERATORS = 4
N_VALUES = 10

MALFORMED = -1
_TOO_LONG = -1
_TEXT = np.array([list(symbol.ljust(4).encode()) for symbol in SYMBOLS], np.uint8)
_TEXT_LENGTH = np.array([len(symbol) for symbol in SYMBOLS])
_BYTES_PER_SYMBOL = 9  # "( ", the longest symbol and its space, ") "
_BYTES_PER_LABEL = 4  # tab, digit, carriage return, line feed


@compiled
def _draw(state, out, begin, max_length, max_depth, max_args, p_operator, opened, missing):
    """Draw one expression into `out[begin:]`; its end, or `_TOO_LONG` as soon as it exceeds `max_length`."""
    end, depth, limit = begin, 0, begin + max_length
    while end < limit:
        if depth + 1 < max_depth and uniform(state) <= p_operator:
            opened[depth], missing[depth] = end, 2 + below(state, max_args - 1)
            depth += 1
            end += 1
            continue
        out[end] = below(state, N_VALUES)
        end += 1
        while depth > 0:
            missing[depth - 1] -= 1
            if missing[depth - 1] > 0:
                break
            if end == limit:
                return _TOO_LONG
            depth -= 1
            out[opened[depth]] = N_VALUES + below(state, N_OPERATORS)
            out[end] = CLOSE
            end += 1
        if depth == 0:
            return end
    return _TOO_LONG


@compiled
def draw_many(random_state, draws, min_length, max_length, max_depth, max_args, p_operator):
    """Draw expressions and keep those of the wanted length.

    Args:
        random_state: (1,) uint64, the start of the random numbers; used up.
        draws: number of expressions to draw, kept or not.
        min_length, max_length: symbols of a kept expression, both included.
        max_depth: depth at which only digits stand; the root is at depth 1.
        max_args: most arguments of an operator; the fewest are 2.
        p_operator: probability that a node above max_depth is an operator.
    Returns:
        symbols (sum of lengths,) uint8 of the kept ones in the order drawn, their ends (kept,) int64.
    """
    out = np.empty(draws * max_length, np.uint8)
    ends = np.empty(draws, np.int64)
    opened, missing = np.empty(max_depth, np.int64), np.empty(max_depth, np.int64)
    begin, kept = 0, 0
    for _ in range(draws):
        end = _draw(random_state, out, begin, max_length, max_depth, max_args, p_operator, opened, missing)
        if end - begin >= min_length:
            ends[kept] = end
            begin = end
            kept += 1
    return out[:begin].copy(), ends[:kept].copy()


@compiled
def _ranked(counts, rank):
    """The digit of a rank, 0 the smallest, among digits that occur `counts` times."""
    digit = 0
    while counts[digit] <= rank:
        rank -= counts[digit]
        digit += 1
    return digit


@compiled
def _apply(operator, values):
    """The value of an operator on digits. MED is the mean of the two middle values, truncated; SM the sum mod 10."""
    counts, total = np.zeros(N_VALUES, np.int64), 0
    for value in values:
        counts[value] += 1
        total += value
    if operator == SM:
        return total % N_VALUES
    if operator == MIN:
        return _ranked(counts, 0)
    if operator == MAX:
        return _ranked(counts, len(values) - 1)
    return (_ranked(counts, (len(values) - 1) // 2) + _ranked(counts, len(values) // 2)) // 2


@compiled
def answer(symbols):
    """The value of one expression.

    Args:
        symbols: (L,) integers, places in `SYMBOLS`.
    Returns:
        0..9, or `MALFORMED` where the brackets do not match, an operator has no argument, or a symbol is unknown.
    """
    values, n_values = np.empty(len(symbols), np.int64), 0
    operators, firsts, depth = np.empty(len(symbols), np.int64), np.empty(len(symbols), np.int64), 0
    for symbol in symbols:
        if 0 <= symbol < N_VALUES:
            values[n_values] = symbol
            n_values += 1
        elif N_VALUES <= symbol < CLOSE:
            operators[depth], firsts[depth] = symbol, n_values
            depth += 1
        elif symbol == CLOSE and depth > 0 and firsts[depth - 1] < n_values:
            depth -= 1
            first = firsts[depth]
            values[first] = _apply(operators[depth], values[first:n_values])
            n_values = first + 1
        else:
            return MALFORMED
    return values[0] if depth == 0 and n_values == 1 else MALFORMED


@compiled
def answers(symbols, ends):
    """The values of many expressions: symbols (sum of lengths,) uint8, ends (n,) int64; (n,) uint8."""
    out = np.empty(len(ends), np.uint8)
    begin = 0
    for i, end in enumerate(ends):
        out[i] = answer(symbols[begin:end])
        begin = end
    return out


@compiled
def _count_arguments(symbols, arguments, opened):
    """Set `arguments` at the place of each operator to the number of its arguments."""
    depth = 0
    for i, symbol in enumerate(symbols):
        if N_VALUES <= symbol < CLOSE:
            opened[depth], arguments[i] = i, 0
            depth += 1
            continue
        depth -= symbol == CLOSE
        if depth > 0:
            arguments[opened[depth - 1]] += 1


@compiled
def _put(text, at, byte):
    """Write a one-byte token and its space; the next free place."""
    text[at], text[at + 1] = byte, 32
    return at + 2


@compiled
def _write_expression(text, at, symbols, arguments):
    """Write one expression in the published form, each token followed by a space; the next free place."""
    depth = 0
    for i, symbol in enumerate(symbols):
        if N_VALUES <= symbol < CLOSE:
            for _ in range(arguments[i] + 1):
                at = _put(text, at, 40)
        length = _TEXT_LENGTH[symbol]
        for j in range(length):
            text[at + j] = _TEXT[symbol, j]
        text[at + length] = 32
        at += length + 1
        if symbol == CLOSE:
            at = _put(text, at, 41)
            depth -= 1
        if N_VALUES <= symbol < CLOSE:
            depth += 1
        elif depth > 0:
            at = _put(text, at, 41)
    return at


@compiled
def write_rows(symbols, ends, labels):
    """The rows of a benchmark TSV: expression, tab, label, line end.

    An operator with its arguments is a left-nested chain of pairs, closed by a last pair with the bracket:
    `( ( ( [SM 1 ) 2 ) ] )` is the sum of 1 and 2.

    Args:
        symbols: (sum of lengths,) uint8, places in `SYMBOLS`.
        ends: (n,) int64, end of each expression.
        labels: (n,) uint8, 0..9.
    Returns:
        the text, (bytes,) uint8.
    """
    text = np.empty(_BYTES_PER_SYMBOL * len(symbols) + _BYTES_PER_LABEL * len(ends), np.uint8)
    arguments, opened = np.empty(len(symbols), np.int64), np.empty(len(symbols), np.int64)
    at, begin = 0, 0
    for i, end in enumerate(ends):
        _count_arguments(symbols[begin:end], arguments, opened)
        at = _write_expression(text, at, symbols[begin:end], arguments) - 1
        text[at], text[at + 1], text[at + 2], text[at + 3] = 9, 48 + labels[i], 13, 10
        at += 4
        begin = end
    return text[:at].copy()
