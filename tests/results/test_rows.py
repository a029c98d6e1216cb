"""Rows of results come from run records, whole, once, and from committed code only."""

import csv
import json
import subprocess
import sys

import pytest

from longrange.errors import DataError
from longrange.results.rows import COLUMNS, SMOKE, add_row, row_of
from longrange.results.runs import read_runs
from tests.paths import ROOT

RECORD = {
    "experiment": "smnist/s4d_legs",
    "task": "smnist",
    "model": "s4d",
    "seed": 3,
    "commit": "0123456789abcdef",
    "dirty": False,
    "finished": "2026-01-02T03:04:05+00:00",
    "metric": "accuracy",
    "metrics": {"test": {"accuracy": 0.97123}},
    "baseline": 0.1135,
    "wall_s": 90.0,
    "epochs": 2,
    "n_parameters": 5,
    "protocol": "heldout",
    "hardware": {"cpu": "CPU", "cores": 2, "gpu": None},
    "processes": 1,
    "resumed_from": None,
    "config": {
        "trainer": {"accelerator": "cpu"},
        "name": {"overrides": ["experiment=smnist/s4d_legs", "paths.data=/home/me", "seed=3"]},
    },
}


def written(tmp_path, **changes):
    path = tmp_path / "result.json"
    path.write_text(json.dumps(RECORD | changes))
    return path


def test_a_row_holds_what_the_record_says(tmp_path):
    row = row_of(written(tmp_path))
    assert tuple(row) == COLUMNS
    assert row["test"] == 0.9712
    assert row["minutes"] == 1.5
    assert row["device"] == "CPU, 2 cores"
    assert row["command"] == "scripts/train.py experiment=smnist/s4d_legs seed=3"
    assert (row["experiment"], row["pretrain"], row["gpus"]) == ("smnist/s4d_legs", "", 0)


@pytest.mark.parametrize(
    ("accelerator", "gpus", "device"), [("gpu", 4, "GPU"), ("auto", 4, "GPU"), ("cpu", 0, "CPU, 2 cores")]
)
def test_the_device_is_what_computed_the_run(tmp_path, accelerator, gpus, device):
    config = RECORD["config"] | {"trainer": {"accelerator": accelerator}}
    row = row_of(written(tmp_path, config=config, processes=4, hardware={"cpu": "CPU", "cores": 2, "gpu": "GPU"}))
    assert (row["gpus"], row["device"]) == (gpus, device)


def test_a_pretrained_run_says_so_and_counts_its_time(tmp_path):
    row = row_of(written(tmp_path, pretrain="masked", pretraining={"wall_s": 60.0}))
    assert (row["pretrain"], row["minutes"]) == ("masked", 2.5)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({}, False),
        ({"resumed_from": "checkpoints/last.ckpt"}, True),
        ({"pretraining": {"wall_s": 60.0, "resumed": True}}, True),
        ({"pretraining": {"wall_s": 60.0, "resumed": False}}, False),
        ({"pretraining": {"wall_s": 60.0}}, False),
    ],
)
def test_a_run_that_was_resumed_says_so(tmp_path, facts, told):
    config = RECORD["config"] | {"name": {"overrides": ["seed=3", "resume=auto"]}}
    assert row_of(written(tmp_path, config=config, **facts))["command"].endswith("resume=auto") == told


def test_rows_are_appended_once(tmp_path):
    table = tmp_path / "table.csv"
    add_row(written(tmp_path), table)
    add_row(written(tmp_path, seed=4), table)
    assert [row["seed"] for row in csv.DictReader(table.open())] == ["3", "4"]
    with pytest.raises(DataError, match="already"):
        add_row(written(tmp_path), table)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps(RECORD | {"dirty": True}), "not committed"),
        (json.dumps(RECORD | {"dirty": None}), "not committed"),
        (json.dumps(RECORD | {"config": RECORD["config"] | {"name": {"overrides": [SMOKE]}}}), "a smoke run"),
        (
            json.dumps(RECORD | {"config": RECORD["config"] | {"trainer": {"limit_test_batches": 2}}}),
            "trainer.limit_test_batches left out",
        ),
        ("{}", "not a run record"),
        ("[]", "not a run record"),
        ("{", "not a run record"),
    ],
)
def test_what_is_no_committed_run_is_refused(tmp_path, content, message):
    path = tmp_path / "result.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        add_row(path, tmp_path / "table.csv")
    assert not (tmp_path / "table.csv").exists()


def test_a_row_is_not_glued_to_one_without_an_end_of_line(tmp_path):
    table = tmp_path / "table.csv"
    add_row(written(tmp_path), table)
    table.write_text(table.read_text().rstrip("\n"))
    add_row(written(tmp_path, seed=4), table)
    assert [run.seed for run in read_runs([table])] == [3, 4]


def test_a_row_that_is_cut_off_is_refused(tmp_path):
    table = tmp_path / "table.csv"
    add_row(written(tmp_path), table)
    table.write_text(table.read_text()[:-60])
    with pytest.raises(DataError, match=r"table\.csv, row 1: "):
        read_runs([table])


def test_a_table_that_cannot_be_written_gets_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"table\.csv: cannot be written"):
        add_row(written(tmp_path), tmp_path / "file" / "table.csv")


def test_a_table_of_other_columns_is_left_alone(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="other columns"):
        add_row(written(tmp_path), table)
    assert table.read_text() == "a,b\n1,2\n"


def test_the_script_prints_the_row_or_one_line(tmp_path):
    script = [sys.executable, ROOT / "scripts" / "add_result.py"]
    good = subprocess.run([*script, written(tmp_path), tmp_path / "t.csv"], capture_output=True, text=True, check=True)
    assert good.stdout.startswith("smnist,s4d,smnist/s4d_legs,,accuracy,0.9712")
    bad = subprocess.run([*script, tmp_path / "no.json", tmp_path / "t.csv"], capture_output=True, text=True)
    assert bad.returncode == 2
    assert len(bad.stderr.splitlines()) == 1


@pytest.mark.parametrize("limited", ["limit_train_batches", "limit_val_batches", "limit_test_batches"])
def test_a_run_on_a_part_of_the_data_is_no_result(tmp_path, limited):
    config = RECORD["config"] | {"trainer": RECORD["config"]["trainer"] | {limited: 2}}
    with pytest.raises(DataError, match=rf"trainer\.{limited} left out a part of the data"):
        row_of(written(tmp_path, config=config))
