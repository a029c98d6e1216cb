"""Reading ListOps files: nothing is lost that decides the answer, and every fault is named with its line."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.data import listops_text
from longrange.data.generate.expressions import answer
from longrange.data.generate.listops import tsv_file
from longrange.data.listops_text import EOS, SPECIALS, SYMBOLS, VOCABULARY, decode, read_tsv
from longrange.errors import DataError

HEADER = b"Source\tTarget\n"
GOOD = b"( ( ( [MAX 2 ) ( ( ( [MIN 4 ) 7 ) ] ) ) ] )\t4\n"


def write(folder: Path, content: bytes) -> Path:
    path = folder / "basic_train.tsv"
    path.write_bytes(content)
    return path


def ids_of(text: str) -> list[int]:
    return [VOCABULARY.index(token) for token in text.split()]


def examples(path: Path, max_length: int = 2048) -> list[tuple[list[int], int]]:
    values, lengths, targets = read_tsv(path, max_length)
    rows = np.split(values, np.cumsum(lengths)[:-1])
    return [(row.tolist(), target) for row, target in zip(rows, targets.tolist(), strict=True)]


def test_vocabulary_is_frozen():
    assert " ".join(VOCABULARY) == "<pad> <unk> <eos> 0 1 2 3 4 5 6 7 8 9 [MIN [MAX [MED [SM ]"
    assert len(VOCABULARY) == 18


def test_decoding_is_the_inverse_of_the_vocabulary():
    assert decode(ids_of("2 [MIN 4 7 ]")) == "2 [MIN 4 7 ]"


def test_decoding_gives_the_expression_back_with_its_brackets(official):
    rows = [row.split("\t") for row in official.read_text().splitlines()[1:]]
    for (ids, target), (source, value) in zip(examples(official), rows, strict=True):
        assert decode(ids) == " ".join(t for t in source.split() if t not in "()") + " <eos>"
        assert target == int(value)


@pytest.mark.parametrize("split", ["official", "val"])
def test_answers_can_be_computed_from_ids(official, made, split):
    for ids, target in examples(official if split == "official" else tsv_file(made, split)):
        assert ids[-1] == EOS
        assert answer(np.array(ids[:-1]) - len(SPECIALS)) == target


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_block_borders_do_not_matter(official, monkeypatch, block, tmp_path):
    path = write(tmp_path, b"".join(official.read_bytes().splitlines(keepends=True)[:4]) + GOOD * 5)
    expected = examples(path)
    monkeypatch.setattr(listops_text, "_BLOCK_BYTES", block)
    assert examples(path) == expected


@pytest.mark.parametrize(
    "content", [HEADER + GOOD * 2, HEADER + GOOD + GOOD.rstrip(), (HEADER + GOOD * 2).replace(b"\n", b"\r\n")]
)
def test_line_ends(tmp_path, content):
    expected = (ids_of("[MAX 2 [MIN 4 7 ] ] <eos>"), 4)
    assert examples(write(tmp_path, content)) == [expected, expected]


def test_long_expressions_are_cut_and_closed(tmp_path):
    path = write(tmp_path, HEADER + GOOD + b"3\t3\n" + GOOD)
    cut = ids_of("[MAX 2 [MIN <eos>")
    assert examples(path, max_length=4) == [(cut, 4), ([VOCABULARY.index("3"), EOS], 3), (cut, 4)]


FAULTS = {
    "one column": (b"( ( ( [MAX 2 ) 4 ) ] )\n", "expected an expression, a tab and its value, found 1 column"),
    "three columns": (b"3\t3\t3\n", "expected an expression, a tab and its value, found 3 columns"),
    "blank line": (b"\n", "found 1 column"),
    "label 10": (b"3\t10\n", "value '10' is not an integer from 0 to 9"),
    "label -1": (b"3\t-1\n", "value '-1' is not an integer from 0 to 9"),
    "label 3.0": (b"3\t3.0\n", "value '3.0' is not an integer from 0 to 9"),
    "label of two tokens": (b"3\t3 4\n", "value '3 4' is not an integer from 0 to 9"),
    "label is a bracket": (b"3\t]\n", "value ']' is not an integer from 0 to 9"),
    "label after a space": (b"3\t 3\n", "value ' 3' is not an integer from 0 to 9"),
    "label before a space": (b"3\t3 \n", "value '3 ' is not an integer from 0 to 9"),
    "label in parentheses": (b"3\t( 3 )\n", "value '( 3 )' is not an integer from 0 to 9"),
    "no label": (b"3\t\n", "value '' is not an integer from 0 to 9"),
    "no expression": (b"( )\t3\n", "no expression before the tab"),
    "unknown operator": (b"( ( [AVG 2 ) ] )\t2\n", "unknown token '[AVG'"),
    "number of two digits": (b"( ( [MAX 12 ) ] )\t2\n", "unknown token '12'"),
    "missing space": (b"( ( [MAX 2) ] )\t2\n", "unknown token '2)'"),
    "longer operator": (b"( ( [MINI 2 ) ] )\t2\n", "unknown token '[MINI'"),
    "control byte": (b"( ( \x01 2 ) ] )\t2\n", r"unknown token '\x01'"),
    "not a text": (b"\xff\xfe\t2\n", "unknown token '\ufffd\ufffd'"),
    "truncated last line": (b"( ( ( [MAX 2 ) ( ( ( [M", "found 1 column"),
}


@pytest.mark.parametrize("block", [16, 1 << 24])
@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_rows_are_named(tmp_path, monkeypatch, fault, block):
    monkeypatch.setattr(listops_text, "_BLOCK_BYTES", block)
    row, reason = FAULTS[fault]
    path = write(tmp_path, HEADER + GOOD * 3 + row)
    with pytest.raises(DataError) as caught:
        read_tsv(path, 2048)
    message = str(caught.value)
    assert message.startswith(f"{path}, line 5: ")
    assert reason in message
    assert message.endswith("; mend or remove the line")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty; download or generate it again"),
        (HEADER, "holds no rows under its header"),
        (GOOD, "line 1: expected the header Source<TAB>Target, found '( ( ( [MAX 2 ) ( ( ( [MIN 4 ) 7 ) ] ) ) ...'"),
        (b"Source,Target\n", "line 1: expected the header Source<TAB>Target, found 'Source,Target"),
    ],
)
def test_faulty_files_are_named(tmp_path, content, reason):
    path = write(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read_tsv(path, 2048)
    assert f"{path}" in str(caught.value)
    assert reason in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"basic_val\.tsv: cannot be read \(No such file or directory\)"):
        read_tsv(tmp_path / "basic_val.tsv", 2048)


def slow_reader(content: bytes) -> list[tuple[list[int], int]] | None:
    """The format read token by token; None where a row is at fault."""
    rows = []
    for line in content.removesuffix(b"\n").decode("latin1").split("\n")[1:]:
        columns = line.split("\t")
        tokens = [token for token in columns[0].split(" ") if token not in ("", "(", ")")]
        if len(columns) != 2 or not tokens or not set(tokens) <= set(SYMBOLS):
            return None
        if columns[1] not in list("0123456789") or slow_value(tokens) != int(columns[1]):
            return None
        rows.append(([VOCABULARY.index(token) for token in [*tokens, "<eos>"]], int(columns[1])))
    return rows


def slow_value(tokens: list[str]) -> int | None:
    """The value of an expression; None where it is none."""
    functions = {"[MIN": min, "[MAX": max, "[MED": lambda v: int(np.median(v)), "[SM": lambda v: sum(v) % 10}
    open_lists = [[]]
    for token in tokens:
        if token in functions:
            open_lists.append([functions[token]])
        elif token != "]":
            open_lists[-1].append(int(token))
        elif len(open_lists) == 1 or len(open_lists[-1]) == 1:
            return None
        else:
            function, *values = open_lists.pop()
            open_lists[-1].append(function(values))
    return open_lists[0][0] if len(open_lists) == 1 and len(open_lists[0]) == 1 else None


@pytest.mark.parametrize("row", [GOOD.replace(b"\t4", b"\t5"), GOOD.replace(b"2", b"6"), GOOD.replace(b"]", b"", 1)])
def test_a_value_that_is_not_the_expressions_is_damage(tmp_path, row):
    with pytest.raises(DataError, match=r"basic_train\.tsv, line 4: its value is not \d; download or generate"):
        read_tsv(write(tmp_path, HEADER + GOOD * 2 + row + GOOD), 2048)


@pytest.mark.parametrize("value", [b"4 )", b") 4", b"( 4", b"4 ", b" 4", b"4(", b"44", b"", b"4\t4"])
def test_only_a_bare_digit_is_a_value(tmp_path, value):
    rows = GOOD + GOOD.replace(b"\t4\n", b"\t" + value + b"\n") + GOOD
    with pytest.raises(DataError, match=r"basic_train\.tsv, line 3: "):
        read_tsv(write(tmp_path, HEADER + rows), 2048)


@settings(deadline=None)
@given(st.data())
def test_damaged_files_are_refused_exactly_when_a_row_is_at_fault(tmp_path_factory, data):
    rows = bytearray(GOOD * 3)
    for _ in range(data.draw(st.integers(0, 2))):
        place = data.draw(st.integers(0, len(rows) - 1))
        rows[place : place + data.draw(st.integers(0, 3))] = data.draw(st.sampled_from(
            [b"", b" ", b"\t", b"\n", b"5", b" 5", b"]", b"[SM", b"[", b"(", b" )", b"\x02", b"x"]
        ))  # fmt: skip
    expected = slow_reader(HEADER + rows)
    path = write(tmp_path_factory.getbasetemp(), HEADER + bytes(rows))
    if expected is None:
        with pytest.raises(DataError, match=r"basic_train\.tsv, line \d: "):
            read_tsv(path, 2048)
    else:
        assert examples(path) == expected
