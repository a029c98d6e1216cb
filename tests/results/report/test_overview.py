"""What the page says of many runs."""

import pytest

from longrange.results.report.entries import find
from longrange.results.report.grid import Cell, Column, Grid, Row
from longrange.results.report.overview import all_runs, by_task, over_seeds


def column(grid: Grid, title: str, what: str = "text") -> list:
    """One column's texts or keys."""
    place = [each.title for each in grid.columns].index(title)
    return [getattr(row.cells[place], what) for row in grid.rows]


def test_all_runs_sort_by_numbers_not_by_their_texts(outputs, add_run):
    add_run("listops/s5/a-s0", n_parameters=9_000, wall_s=90.0)
    add_run("listops/s5/b-s0", n_parameters=1_000_000, wall_s=7200.0, test=0.4)
    add_run("bidmc_hr/s5/c-s0", task="bidmc_hr", metric="rmse", metrics={"test": {"rmse": 2.5}}, baseline=8.0)
    grid = all_runs(find(outputs)[0])
    assert column(grid, "RMSE") == ["2.5", "", ""]
    assert column(grid, "accuracy") == ["", "50.00%", "40.00%"]
    assert column(grid, "accuracy", "key") == [None, 0.5, 0.4]
    assert column(grid, "parameters") == ["12,345", "9,000", "1,000,000"]
    assert column(grid, "parameters", "key") == [12345, 9000, 1_000_000]
    assert column(grid, "time") == ["90 s", "90 s", "2.0 h"]
    assert column(grid, "time", "key") == [90.0, 90.0, 7200.0]
    assert column(grid, "baseline") == ["8", "17.00%", "17.00%"]
    assert column(grid, "epoch") == ["2 of 3"] * 3
    first = {each.title: each.first for each in grid.columns}
    assert (first["accuracy"], first["RMSE"]) == ("descending", "ascending")


def test_columns_that_say_nothing_are_left_out(outputs, add_run):
    add_run()
    titles = {each.title for each in all_runs(find(outputs)[0]).columns}
    assert not {"RMSE", "experiment", "pretraining"} & titles
    assert {"accuracy", "curve", "commit", "protocol"} <= titles
    grid = Grid([Column("a"), Column("b")], [Row([Cell(), Cell("1")]), Row([Cell(), Cell()])])
    assert [each.title for each in grid.without_empty_columns().columns] == ["b"]


def test_commit_device_and_state_are_told(outputs, add_run):
    add_run("listops/s5/a-s0", dirty=True, hardware={"cpu": "CPU", "cores": 8, "gpu": "H200"})
    add_run("listops/s5/b-s0", test=0.4, hardware={"gpu": "H200"}, config={"trainer": {"accelerator": "gpu"}})
    (add_run("listops/s5/c-s0") / "result.json").unlink()
    grid = all_runs(find(outputs)[0])
    assert column(grid, "commit") == ["01234567, changed", "01234567", ""]
    assert column(grid, "device") == ["CPU, 8 cores", "H200", ""]
    assert column(grid, "epoch") == ["2 of 3", "2 of 3", "3, unfinished"]


def test_a_task_shows_one_curve_a_run_and_what_differs(outputs, add_run):
    model = {"d_model": 32}
    add_run("listops/s5/a-s0")
    add_run("listops/s5/b-s1", seed=1, test=0.4, epochs=2, config={"seed": 1, "model": model})
    add_run("text/s5/a-s0", task="text")
    listops, text = by_task(find(outputs)[0])
    assert [chart.title for chart in listops.charts] == ["val/accuracy", "val/loss", "train/loss"]
    assert [line.run for line, _ in listops.charts[0].lines] == ["listops/s5/a-s0", "listops/s5/b-s1"]
    assert listops.charts[0].level is not None
    assert listops.charts[1].level is None
    assert [len(line.points) for line, _ in listops.charts[0].lines] == [3, 2]
    assert column(listops.grid, "model.d_model") == ["64", "32"]
    assert column(listops.grid, "optimizer.lr") == ["0.01", ""]
    assert "seed" in [each.title for each in listops.grid.columns[:3]]
    assert [each.title for each in text.grid.columns] == ["model", "seed", "test"]


def test_colours_of_curves_and_rows_agree(outputs, add_run):
    for seed in range(10):
        add_run(f"listops/s5/a-s{seed}", seed=seed, test=0.5 - seed / 100)
    (task,) = by_task(find(outputs)[0])
    of_lines = {line.run: line.style for line, _ in task.charts[0].lines}
    assert of_lines == {row.run: row.style for row in task.grid.rows}
    assert set(of_lines.values()) == {f"c{place}" for place in range(8)}


def test_means_over_seeds_count_each_seed_once(outputs, add_run):
    for place, (name, seed, test) in enumerate(
        [("a-s0", 0, 0.1), ("a-s0.2", 0, 0.4), ("a-s1", 1, 0.6), ("b-s0", 0, 0.9), ("c-s0", 0, 0.3), ("c-s0.2", 0, 0.3)]
    ):
        add_run(f"listops/s5/{name}", seed=seed, test=test, finished=f"2026-01-0{place + 1}T00:00:00")
    (add_run("listops/s5/a-s2") / "result.json").unlink()
    grid = over_seeds(find(outputs)[0])
    assert column(grid, "n") == ["2"]
    assert column(grid, "mean", "key") == [pytest.approx(0.5)]
    assert column(grid, "std", "key") == [pytest.approx(0.2 / 2**0.5)]
    assert column(grid, "worst") == ["40.00%"]
    assert column(grid, "best") == ["60.00%"]
    assert column(grid, "command") == ["model=s5"]
