"""Runs are read from rows and records alike, once each."""

import json

import pytest

from longrange.errors import DataError
from longrange.results.rows import COLUMNS, SMOKE, add_row
from longrange.results.runs import read_runs
from tests.paths import ROOT
from tests.results.test_rows import RECORD


def record(folder, *overrides, **changes):
    folder.mkdir(parents=True)
    name = {"overrides": ["experiment=smnist/s4d_legs", "seed=3", *overrides]}
    (folder / "result.json").write_text(json.dumps(RECORD | {"config": RECORD["config"] | {"name": name}} | changes))
    return folder / "result.json"


def test_a_record_tells_what_a_table_needs(tmp_path):
    record(
        tmp_path / "run",
        "model.n_layers=2",
        "resume=last",
        dirty=True,
        pretrain="masked",
        commit=None,
        resumed_from="x",
    )
    (run,) = read_runs([], tmp_path)
    assert (run.experiment, run.pretrain, run.seed, run.test) == ("smnist/s4d_legs", "masked", 3, 0.9712)
    assert (run.changes, run.resumed, run.dirty, run.commit) == (("model.n_layers=2",), True, True, None)
    assert (run.gpus, run.hours) == (0, 1.5 / 60)


def test_a_run_in_both_places_is_read_once(tmp_path):
    path = record(tmp_path / "outputs" / "a")
    add_row(path, tmp_path / "runs.csv")
    record(tmp_path / "outputs" / "b", seed=4)
    runs = read_runs([tmp_path / "runs.csv", tmp_path / "none.csv"], tmp_path / "outputs")
    assert [(run.seed, run.origin.name) for run in runs] == [(3, "runs.csv"), (4, "result.json")]
    assert [run.seed for run in read_runs([tmp_path / "runs.csv"])] == [3]


def test_a_smoke_run_is_marked(tmp_path):
    record(tmp_path / "run", SMOKE)
    (run,) = read_runs([], tmp_path)
    assert run.smoke


def test_a_damaged_record_is_left_out_with_a_warning(tmp_path, caplog):
    record(tmp_path / "good")
    record(tmp_path / "bad").write_text("{")
    assert len(read_runs([], tmp_path)) == 1
    assert "1 of 2 files" in caplog.text


@pytest.mark.parametrize("content", ["a,b\n1,2\n", ",".join(COLUMNS) + "\n" + "x," * len(COLUMNS) + "\n"])
def test_a_damaged_table_is_refused(tmp_path, content):
    (tmp_path / "runs.csv").write_text(content)
    with pytest.raises(DataError, match=r"runs\.csv"):
        read_runs([tmp_path / "runs.csv"])


@pytest.mark.parametrize("table", sorted((ROOT / "results").glob("*runs.csv")), ids=lambda path: path.name)
def test_committed_rows_can_be_read(table):
    assert read_runs([table])


@pytest.mark.parametrize(("said", "dirty"), [(False, False), (True, True), (None, True)])
def test_code_that_nobody_could_tell_apart_counts_as_changed(tmp_path, said, dirty):
    record(tmp_path / "run", dirty=said)
    (run,) = read_runs([], tmp_path)
    assert run.dirty is dirty
