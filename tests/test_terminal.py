"""A table has room in a file or a pipe, and keeps to a terminal."""

import pytest
from rich.table import Table

from longrange.terminal import table_console


@pytest.mark.parametrize(("forced", "columns", "lines"), [("0", "60", 1), ("1", "60", 3), ("0", "400", 1)])
def test_a_row_is_one_line_where_there_is_no_terminal(capsys, monkeypatch, forced, columns, lines):
    monkeypatch.setenv("COLUMNS", columns)
    if forced == "1":
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("NO_COLOR", "1")
    table = Table("x", show_header=False)
    table.add_row("word " * 30)
    table_console().print(table)
    assert sum("word" in line for line in capsys.readouterr().out.splitlines()) == lines
