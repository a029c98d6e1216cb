"""A table has room in a file or a pipe, and keeps to a terminal; a program that nobody reads ends quietly."""

import subprocess
import sys

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


PROGRAM = """
import logging, os, sys
from rich.console import Console
from longrange.cli import main

@main("train")
def train(cfg):
    {line}
    open("went-on", "w").close()

train()
"""


def ended(folder, line: str, *arguments: str) -> tuple[int, str]:
    """Exit code and errors of a program that writes a line when nothing reads its output any more."""
    (folder / "train.py").write_text(PROGRAM.format(line=line))
    command = [sys.executable, "train.py", *arguments]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        errors = process.stderr.read()
    return process.returncode, errors


@pytest.mark.parametrize("line", ["logging.info('x')", "Console().print('x')", "print('x', flush=True)"])
@pytest.mark.parametrize("arguments", [[], ["-m", "seed=0,1"]])
def test_a_program_that_nobody_reads_ends_quietly(tmp_path, line, arguments):
    assert ended(tmp_path, line, *arguments) == (141, "")
    assert not (tmp_path / "went-on").exists()
    assert not (tmp_path / "outputs" / ".sweeps").exists()


def test_what_is_still_to_be_written_when_it_ends_is_no_error_either(tmp_path):
    assert ended(tmp_path, "print('x')") == (141, "")


def test_another_pipe_that_breaks_is_an_error(tmp_path):
    (tmp_path / "train.py").write_text(PROGRAM.format(line="raise BrokenPipeError('of a loader')"))
    done = subprocess.run([sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "BrokenPipeError: of a loader" in done.stderr
