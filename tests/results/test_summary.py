"""The tables that end a command."""

import dataclasses
import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from longrange.results.summary import print_metrics, print_summary
from longrange.training.outcome import Pretraining


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=100)


def test_the_summary_tells_scores_cost_and_files(outcome, console):
    print_summary(outcome, [Path("a-folder", "result.json")], console)
    shown = console.file.getvalue()
    scores, cost = ["47.31%", "17.00%", "10 of 12, by validation"], ["4 min 43 s", "911", "700 MiB", "188,490"]
    for told in [*scores, *cost, "cpu, 32-true"]:
        assert told in shown
    assert "a-folder/result.json\n" in shown
    assert "resumed from" not in shown


def test_the_summary_tells_what_is_unusual(outcome, console):
    resumed_from = outcome.run_dir / "last.ckpt"
    stage = Pretraining("masked", epochs=8, best_epoch=5, loss={"train": 0.2, "val": 0.31234}, wall_s=12.0)
    unusual = dataclasses.replace(outcome, protocol="paper", resumed_from=resumed_from, pretraining=stage, processes=4)
    print_summary(unusual, [], console)
    shown = console.file.getvalue()
    assert "on the test set as published" in shown
    assert " last.ckpt " in shown
    assert re.search(r"processes +│ 4 ", shown)
    assert "masked, epoch 6 of 8, val loss 0.3123" in shown


def test_a_regression_is_compared_with_the_training_mean(outcome, console):
    errors = {"test": {"rmse": 0.4731}}
    print_summary(dataclasses.replace(outcome, metric="rmse", metrics=errors, baseline=12.5), [], console)
    rows = [line.split("│")[1:-1] for line in console.file.getvalue().splitlines() if line.startswith("│")]
    assert [cell.strip() for cell in rows[0] + rows[1]] == ["test rmse", "0.4731", "training mean", "12.5000"]


def test_a_long_path_stays_on_one_line(outcome, console):
    path = Path("/", *["folder"] * 30, "result.json")
    print_summary(outcome, [path], console)
    assert f"{path}\n" in console.file.getvalue()


def test_brackets_in_a_path_are_printed(outcome, console):
    path = Path("runs [old]", "result.json")
    run = dataclasses.replace(outcome, resumed_from=outcome.run_dir / "first [half].ckpt")
    print_summary(run, [path], console)
    print_metrics({"test": {"loss": 1.0}}, f"{path} at rate 1", console)
    shown = console.file.getvalue()
    assert f"\n{path}\n{path} at rate 1\n" in shown
    assert " first [half].ckpt " in shown


def test_metrics_make_one_row_a_split(console):
    print_metrics({"test": {"accuracy": 0.5, "loss": 1.25}, "val": {"loss": 1.5}}, "last.ckpt", console)
    shown = console.file.getvalue()
    assert shown.startswith("last.ckpt\n")
    assert [line.split("│")[1:-1] for line in shown.splitlines() if line.startswith("│")] == [
        [" test  ", " 50.00%   ", " 1.2500 "],
        [" val   ", "          ", " 1.5000 "],
    ]
