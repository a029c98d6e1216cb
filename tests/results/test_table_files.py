"""A filled table in every form: the same figures, marks that lead to their notes, nothing that a form takes amiss."""

import csv
import re
from dataclasses import replace

import pytest
from rich.console import Console

from longrange.results.cells import cells
from longrange.results.layout import layout
from longrange.results.show import print_table
from longrange.results.table_files import latex, markdown, write_tables
from longrange.results.table_plot import plot_table
from tests.results.made_up_runs import made_up_run, small_table

RUNS = [
    made_up_run(test=0.60),
    made_up_run(seed=1, test=0.64),
    made_up_run(experiment="text/s5", protocol="paper", test=0.9),
]


@pytest.fixture
def found():
    return cells(small_table(), RUNS, experiments=["listops/s5", "text/s5", "listops/s4"])


@pytest.fixture
def shown(found):
    return layout(small_table(), found)


def lines_of(shown, row):
    return {line.what: [text.value for text in line.texts] for line in (*shown.peers, *shown.own) if line.row == row}


def test_lines_of_a_model_that_has_runs(shown):
    assert lines_of(shown, "S5") == {
        "published": ["62.00 ±0.20", "90.00", "76.00"],
        "ours": ["62.00 ±2.83", "not run", ""],
        "difference": ["+0.00", "", ""],
        "runs": ["2 seeds, heldout, 4.0 GPU h", "", ""],
    }


def test_lines_of_a_model_without_runs_and_of_a_peer(shown):
    assert lines_of(shown, "S4") == {"published": ["", "", ""], "ours": ["not run", "no setting", ""]}
    assert lines_of(shown, "A & B_c") == {"published": ["40.00", "fails", "45.00"]}


def test_every_mark_has_its_note(shown):
    marks = {mark for line in (*shown.peers, *shown.own) for text in line.texts for mark in text.marks}
    assert marks == shown.footnotes.keys()
    assert set(shown.footnotes.values()) == {
        *("read aloud", "a single run", "not counted, protocol paper: 90.00 (seed 0)"),
    }


@pytest.mark.parametrize("width", [80, 200])
def test_the_terminal_shows_every_figure(shown, width, capsys):
    print_table(shown, Console(width=width))
    printed = capsys.readouterr().out
    assert "not run" in printed
    assert {"±0.20", "±2.83", "40.00", "fails", "listops/s5"} <= set(printed.split())


def test_markdown_has_a_row_for_each_line_and_each_run(shown):
    text = markdown(shown, "the command")
    table = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert {len(row) for row in table[:9]} == {5}
    assert "| S5 | published | 62.00 ±0.20 | 90.00 (a,b) | 76.00 |" in text
    assert "- S5: a paper" in text
    assert text.count("0123456789ab") == 2


def test_latex_is_escaped_and_balanced(shown):
    text = latex(shown, "the command")
    assert r"A \& B\_c & published & 40.00 & fails & 45.00 \\" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {4}
    assert text.count("{") == text.count("}")
    assert "±" not in text


def test_csv_holds_each_cell(tmp_path, found, shown):
    write_tables(tmp_path, small_table(), found, shown, "the command")
    rows = {(row["row"], row["column"]): row for row in csv.DictReader((tmp_path / "table.csv").open())}
    assert rows.keys() == {("s5", "listops"), ("s5", "text"), ("s4", "listops"), ("peer", "listops"), ("peer", "text")}
    cell = rows["s5", "listops"]
    assert (cell["ours"], cell["n"], cell["seeds"], cell["gpu_hours"]) == ("62.0", "2", "0 1", "4.0")
    assert rows["peer", "text"]["published"] == "failed"


def test_the_same_runs_give_the_same_files(tmp_path, found, shown):
    contents = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        files = write_tables(folder, small_table(), found, shown, "x")
        contents.append(
            [file.read_bytes() for file in (*files, plot_table(folder / "table.png", small_table(), found))]
        )
    assert contents[0] == contents[1]
    assert contents[0][-1].startswith(b"\x89PNG")


def test_an_empty_table_can_be_drawn(tmp_path):
    assert plot_table(tmp_path / "t.png", small_table(), cells(small_table(), [])).stat().st_size > 1000


@pytest.mark.parametrize(("metric", "better"), [("accuracy", False), ("rmse", True)])
def test_a_smaller_error_is_a_better_one(metric, better):
    table = replace(small_table(), metric=metric, failure=None)
    lower = 0.61 if metric == "accuracy" else 61.0  # printed: 62.0
    shown = layout(table, cells(table, [made_up_run(metric=metric, test=lower)]))
    (line,) = [line for line in shown.own if line.what == "difference"]
    assert (line.texts[0].value[:3], line.texts[0].better) == ("-1.", better)


def test_differences_are_ours_minus_published_those_of_averages_too():
    found = cells(small_table(), [made_up_run(), made_up_run(experiment="text/s5", test=0.81)])
    assert lines_of(layout(small_table(), found), "S5")["difference"] == ["-1.00", "-9.00", "-5.00"]


def test_csv_holds_deviation_and_difference(tmp_path, found, shown):
    write_tables(tmp_path, small_table(), found, shown, "the command")
    (cell,) = [row for row in csv.DictReader((tmp_path / "table.csv").open()) if row["n"] == "2"]
    assert (cell["std"], cell["difference"], cell["published"], cell["published_std"]) == (
        "2.8284",
        "0.0",
        "62.0",
        "0.2",
    )
