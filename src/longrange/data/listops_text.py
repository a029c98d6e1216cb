"""ListOps files as text: the vocabulary, and how rows of the benchmark's TSV become ids.

A row is `Source<TAB>Target`: an expression whose tokens stand between spaces, and its value. Parentheses only repeat
what the brackets say and are dropped, as in every published pipeline; the brackets are kept, without which the task
cannot be solved. The encoder works on whole blocks of bytes: operators become one byte each, then one table lookup
turns bytes into ids and deletes spaces and parentheses.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from longrange.data.cache import Sequences
from longrange.data.generate.expressions import HEADER, SYMBOLS, answers
from longrange.data.progress import opened
from longrange.errors import DataError

# Frozen: trained models depend on these ids.
SPECIALS = ("<pad>", "<unk>", "<eos>")
VOCABULARY = (*SPECIALS, *SYMBOLS)
EOS = VOCABULARY.index("<eos>")
VALUES = SYMBOLS[:10]
N_CLASSES = len(VALUES)

_BLOCK_BYTES = 1 << 24
_DIGIT_0 = VOCABULARY.index("0")
_LINE_END, _UNKNOWN = 254, 255
# One spare byte stands for each operator while a block is encoded.
_OPERATORS = [(token.encode(), bytes([i + 1])) for i, token in enumerate(t for t in SYMBOLS if len(t) > 1)]
_SEPARATORS = np.isin(np.arange(256), list(b" \t\n"))


def _id_table() -> bytes:
    table = np.full(256, _UNKNOWN, np.uint8)
    for token, i in zip(SYMBOLS, range(len(SPECIALS), len(VOCABULARY)), strict=True):
        table[dict(_OPERATORS).get(token.encode(), token.encode())[0]] = i
    table[ord("\t")], table[ord("\n")] = EOS, _LINE_END
    return table.tobytes()


_ID_OF_BYTE = _id_table()


def decode(ids: np.ndarray) -> str:
    """The tokens of (L,) ids, between spaces."""
    return " ".join(VOCABULARY[i] for i in ids)


def read_tsv(path: Path, max_length: int) -> Sequences:
    """Read and encode one file, generated here or published.

    Args:
        path: a TSV file with header.
        max_length: longest sequence, `<eos>` included; longer ones lose their end before `<eos>` is put.
    Returns:
        ids uint8, each sequence closed by `<eos>`; lengths; targets 0..9.
    Raises:
        DataError: the file is missing or empty, has no header, or a row is not an expression and its value, which is
            computed anew.
    """
    try:
        with opened(path, f"encoding {path.name}") as file:
            _check_header(path, file.readline())
            parts = [_encode(path, line, block, max_length) for line, block in _blocks_of_lines(file)]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if not parts:
        raise DataError(f"{path}: holds no rows under its header; download or generate it again")
    return Sequences(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _check_header(path: Path, line: bytes) -> None:
    if not line:
        raise DataError(f"{path}: is empty; download or generate it again")
    if line.rstrip(b"\r\n") != HEADER:
        found = _shown(line.decode(errors="replace"))
        raise DataError(f"{path}, line 1: expected the header Source<TAB>Target, found {found}; put it there")


def _blocks_of_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Blocks of whole lines, each with the number of its first line in the file; the header is line 1."""
    line, rest = 2, b""
    while block := file.read(_BLOCK_BYTES):
        head, end, tail = block.rpartition(b"\n")
        if not end:
            rest += tail
            continue
        lines = (rest + head + end).replace(b"\r\n", b"\n")
        yield line, lines
        line, rest = line + lines.count(b"\n"), tail
    if rest:
        yield line, rest.rstrip(b"\r") + b"\n"


def _encode(path: Path, first_line: int, lines: bytes, max_length: int) -> Sequences:
    ids = _ids(lines)
    ends, tabs = np.flatnonzero(ids == _LINE_END), np.flatnonzero(ids == EOS)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if not _well_formed(ids, starts, tabs, ends):
        raise _fault(path, first_line, lines)
    row_lengths = ends + 1 - starts
    position = np.arange(len(ids)) - np.repeat(starts, row_lengths)
    targets = ids[tabs + 1] - _DIGIT_0
    symbols = ids[position < np.repeat(tabs - starts, row_lengths)] - _DIGIT_0
    _check_values(path, first_line, answers(symbols, np.cumsum(tabs - starts)), targets)
    lengths = np.minimum(tabs + 1 - starts, max_length)
    values = ids[position < np.repeat(lengths, row_lengths)]
    values[np.cumsum(lengths) - 1] = EOS
    return Sequences(values, lengths, targets.astype(np.int64))


def _check_values(path: Path, first_line: int, computed: np.ndarray, stated: np.ndarray) -> None:
    """Notice most of what damage leaves well-formed."""
    wrong = computed != stated
    if wrong.any():
        line, value = first_line + int(np.argmax(wrong)), stated[wrong][0]
        raise DataError(f"{path}, line {line}: its value is not {value}; download or generate the file again")


def _ids(lines: bytes) -> np.ndarray:
    """Tokens and tabs (as `<eos>`), values and line ends in file order; nothing where characters are out of place."""
    raw = np.frombuffer(lines, np.uint8)
    tabs, ends = np.flatnonzero(raw == ord("\t")), np.flatnonzero(raw == ord("\n"))
    one_byte_values = len(tabs) == len(ends) and (ends - tabs == 2).all()
    if not one_byte_values or any(byte in lines for _, byte in _OPERATORS):
        return np.empty(0, np.uint8)
    for token, byte in _OPERATORS:
        lines = lines.replace(token, byte)
    inside = ~_SEPARATORS[np.frombuffer(lines, np.uint8)]
    if (inside[1:] & inside[:-1]).any():
        return np.empty(0, np.uint8)
    return np.frombuffer(lines.translate(_ID_OF_BYTE, b" ()"), np.uint8)


def _well_formed(ids: np.ndarray, starts: np.ndarray, tabs: np.ndarray, ends: np.ndarray) -> bool:
    """Every row holds known tokens, one tab, one digit."""
    if not len(ids) or _UNKNOWN in ids or len(tabs) != len(ends):
        return False
    values = ids[tabs + 1]
    return bool(((tabs + 2 == ends) & (tabs > starts) & (values >= _DIGIT_0) & (values < _DIGIT_0 + N_CLASSES)).all())


def _fault(path: Path, first_line: int, lines: bytes) -> DataError:
    """What is wrong with the first faulty line."""
    for number, line in enumerate(lines.split(b"\n")[:-1], first_line):
        if reason := _reason(line):
            return DataError(f"{path}, line {number}: {reason}; mend or remove the line")
    return DataError(f"{path}, lines from {first_line}: not rows of ListOps; download or generate the file again")


def _reason(line: bytes) -> str | None:
    columns = line.decode(errors="replace").split("\t")
    if len(columns) != 2:
        return f"expected an expression, a tab and its value, found {len(columns)} column{'s' * (len(columns) > 1)}"
    tokens = [token for token in columns[0].split(" ") if token not in ("", "(", ")")]
    unknown = next((token for token in tokens if token not in SYMBOLS), None)
    if unknown is not None:
        return f"unknown token {_shown(unknown)}"
    if not tokens:
        return "no expression before the tab"
    if columns[1] not in VALUES:
        return f"value {_shown(columns[1])} is not an integer from 0 to 9"
    return None


def _shown(text: str) -> str:
    """Foreign text, short and on one line."""
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
