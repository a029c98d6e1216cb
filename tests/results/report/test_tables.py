"""Tables beside the runs."""

from pathlib import Path

import pytest

from longrange.cli import CONFIG_DIR
from longrange.results.report.tables import committed, published


def cell(sheets, title: str, model: str, column: str):
    """One place of a published table."""
    (sheet,) = [sheet for sheet in sheets if title in sheet.title]
    place = [each.title for each in sheet.grid.columns].index(column)
    (row,) = [row for row in sheet.grid.rows if row.cells[0].text == model]
    return row.cells[place]


def test_published_figures_and_our_runs_share_a_cell(tmp_path, outputs, add_run):
    for seed, test in enumerate((0.61, 0.63)):
        config = {"name": {"overrides": ["experiment=listops/s5", f"seed={seed}"]}, "trainer": {"accelerator": "cpu"}}
        add_run(f"listops/s5/a-s{seed}", seed=seed, test=test, experiment="listops/s5", config=config)
    sheets, unreadable = published(CONFIG_DIR, tmp_path / "results", outputs)
    assert not unreadable
    ours = cell(sheets, "Long Range Arena", "S5", "ListOps")
    texts = dict(ours.parts)
    assert texts["published"].startswith("62.15")
    assert texts["ours"].startswith("62.00")
    assert ours.key == 62.15
    assert any("Text" in note for sheet in sheets for note in sheet.notes)


def test_a_damaged_table_of_runs_is_listed_and_the_figures_stay(tmp_path, outputs):
    (tmp_path / "runs.csv").write_text("a,b\n1,2\n")
    sheets, (unreadable,) = published(CONFIG_DIR, tmp_path, outputs)
    assert len(sheets) == len(list((CONFIG_DIR / "table").glob("*.yaml")))
    assert unreadable.path == tmp_path / "runs.csv"


def test_committed_tables_sort_numbers_as_numbers(tmp_path):
    (tmp_path / "scaling").mkdir()
    (tmp_path / "scaling" / "rows.csv").write_text("layer,length,note,empty\ns4,1024,,\ns5,64,x,\n")
    (sheet,), unreadable = committed(tmp_path)
    assert not unreadable
    assert sheet.title == "scaling/rows.csv"
    assert [(each.title, each.numeric) for each in sheet.grid.columns] == [
        ("layer", False),
        ("length", True),
        ("note", False),
    ]
    assert [row.cells[1].key for row in sheet.grid.rows] == [1024.0, 64.0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\xff", "no text"),
        (b"a,b\n1\n", "line 2 has 1 values, the header 2"),
        (b'"a', "unexpected end"),
    ],
)
def test_damaged_tables_are_listed_with_their_reason(tmp_path, content, reason):
    (tmp_path / "good.csv").write_text("a\n1\n")
    (tmp_path / "bad.csv").write_bytes(content)
    sheets, (unreadable,) = committed(tmp_path)
    assert [sheet.title for sheet in sheets] == ["good.csv"]
    assert reason in unreadable.reason


def test_the_committed_tables_of_this_repository_are_readable():
    sheets, unreadable = committed(CONFIG_DIR.parent / "results")
    assert sheets
    assert not unreadable


def test_no_folder_has_no_tables():
    assert committed(Path("/no/such/folder")) == ([], [])
