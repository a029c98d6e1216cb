"""Tables are read whole or refused, and written whole."""

import pytest

from longrange.csv_files import as_csv, keep_rows, read_csv
from longrange.errors import DataError


def test_a_table_comes_back_as_it_was_written(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(as_csv([{"a": "1,5", "b": 'say "x"'}, {"a": None, "b": "line\nbreak"}]))
    assert read_csv(path, ["a", "b"]) == [{"a": "1,5", "b": 'say "x"'}, {"a": "", "b": "line\nbreak"}]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a,b\n1,2\n3\n", "row 2: has not the 2 columns"),
        (b"a,b\n1,2,3\n", "row 1: has not the 2 columns"),
        (b"b,a\n1,2\n", "has other columns than a, b"),
        (b"", "has other columns than a, b"),
        (b"a,b\n\xff,2\n", "cannot be read as a table"),
        (b'a,b\n"1,2\n', "cannot be read as a table"),
        (None, "cannot be read as a table"),
    ],
)
def test_what_is_no_such_table_is_refused(tmp_path, content, told):
    path = tmp_path / "a.csv"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.csv.*{told}"):
        read_csv(path, ["a", "b"])


def test_a_row_takes_the_place_of_the_one_with_its_keys(tmp_path):
    path = tmp_path / "rows.csv"
    for task, ratio in [("text", "5"), (None, "4"), ("image", "6"), ("text", "7"), (None, "8")]:
        keep_rows(path, [{"task": task, "model": "s5", "ratio": ratio}], ["task"])
    assert [(row["task"], row["ratio"]) for row in read_csv(path)] == [("text", "7"), ("", "8"), ("image", "6")]


def test_a_column_that_new_rows_lack_stays(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("task,speed,device\ntext,5,cpu\n")
    keep_rows(path, [{"task": "image", "speed": 6, "commit": "abc"}], ["task"])
    assert [list(row.values()) for row in read_csv(path)] == [["text", "5", "", "cpu"], ["image", "6", "abc", ""]]
