"""The published tables of configs/table: figures as printed, and cells that belong to the settings they name."""

import re

import pytest
from omegaconf import OmegaConf

from longrange.cli import CONFIG_DIR
from longrange.diagnose import group_options
from longrange.errors import ConfigError
from longrange.results.cells import averages, cells
from longrange.results.table import Table
from tests.results.made_up_runs import CONFIG, small_table

EXPERIMENTS = group_options(CONFIG_DIR, "experiment")
# Averages of six tasks as printed: S4 (arXiv 2111.00396v3), table 10; the later ones in their own papers.
PRINTED = {
    **{"random": 36.67, "transformer": 53.66, "local_attention": 46.71, "sparse_transformer": 51.03},
    **{"longformer": 52.88, "linformer": 51.14, "reformer": 50.56, "sinkhorn": 51.23, "synthesizer": 52.40},
    **{"bigbird": 54.17, "linear_transformer": 50.46, "performer": 51.18, "fnet": 54.42, "nystromformer": 57.46},
    **{"luna": 59.37, "s4_first": 80.48, "s4": 86.09, "s4_fout": 77.90, "s4_legs_fout": 78.50, "s4d_legs": 84.89},
    **{"s4d_inv": 85.50, "s4d_lin": 78.39, "s5": 87.46, "liquid_s4": 87.32, "dss": 81.88, "mega": 88.21},
}


def loaded(name):
    return Table.from_config(name, OmegaConf.to_container(OmegaConf.load(CONFIG_DIR / "table" / f"{name}.yaml")))


TABLES = {name: loaded(name) for name in group_options(CONFIG_DIR, "table")}
SETTINGS = [
    (cell, (CONFIG_DIR / "experiment" / f"{cell.experiment}.yaml").read_text())
    for table in TABLES.values()
    for cell in cells(table, [], experiments=EXPERIMENTS).values()
    if cell.experiment and cell.row.pretrain is None
]
each_setting = pytest.mark.parametrize(("cell", "text"), SETTINGS, ids=[cell.experiment for cell, _ in SETTINGS])


def test_averages_come_out_as_printed():
    computed = averages(TABLES["lra"], cells(TABLES["lra"], []))
    assert {row: computed[row][0] for row in PRINTED} == pytest.approx(PRINTED, abs=0.011)


def test_every_setting_of_a_task_is_in_a_table():
    in_tables = {cell.experiment for cell, _ in SETTINGS}
    assert {name for name in EXPERIMENTS if "/" in name} == in_tables


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_row_has_figures_or_settings(table):
    found = cells(table, [], experiments=EXPERIMENTS)
    for row in table.rows:
        assert any(found[row, column].experiment or found[row, column].published for column in table.columns), row


@each_setting
def test_a_setting_of_our_own_is_marked_in_its_file_and_in_the_table(cell, text):
    assert ("# Ours:" in text) == (cell.column.key in cell.row.ours)


@each_setting
def test_the_figure_in_a_settings_file_is_the_tables(cell, text):
    comment = " ".join(re.findall(r"^# (.*)", text, flags=re.MULTILINE))
    if cell.published is None:
        assert "No figure is published" in comment or "with version 3" in comment
    elif cell.published.mean is not None:
        printed = f"{cell.published.mean:g}"
        assert re.search(rf"\b{re.escape(printed)}0*\b", comment), printed


def test_figures_take_every_form():
    figures = small_table().rows["s5"].published
    assert (figures["listops"].mean, figures["listops"].std, figures["listops"].n) == (62.0, 0.2, 3)
    assert (figures["text"].std, figures["text"].n, figures["text"].notes) == (None, 1, ("read aloud",))
    assert small_table().rows["peer"].published["text"].mean is None


def test_a_figure_of_no_column_is_refused():
    wrong = CONFIG | {"rows": {"s5": {"title": "S5", "source": "x", "published": {"listop": 1.0}}}}
    with pytest.raises(ConfigError, match=r"small\.yaml: rows\.s5: no column listop"):
        Table.from_config("small", wrong)
