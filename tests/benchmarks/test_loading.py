"""The benchmark of the loaders: one row for a task, model and machine, which a later measurement replaces."""

import csv

import pytest
from toy_task import SIZES, ToyTask, toy_config

from longrange.benchmarks.loading import loading, samples_per_s
from longrange.errors import ConfigError


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_supply_of_a_task_stands_beside_the_demand_of_its_model(tmp_path):
    row = loading(toy_config(tmp_path), seconds=0.1, model_batch=4, steps=1, folder=str(tmp_path))
    assert row["batch_size"] == 8
    assert row["ratio"] == pytest.approx(row["loader_samples_per_s"] / row["model_samples_per_s"], rel=0.01, abs=1)
    (kept,) = rows_of(tmp_path / "rows.csv")
    assert kept == {name: str(value) for name, value in row.items()}


def test_another_machine_has_a_row_of_its_own(tmp_path, monkeypatch):
    def measured():
        loading(toy_config(tmp_path), seconds=0.1, model_batch=4, steps=1, folder=str(tmp_path))

    measured()
    measured()
    monkeypatch.setattr("longrange.provenance.cpu_model", lambda: "another")
    measured()
    here, there = rows_of(tmp_path / "rows.csv")
    assert here["cpu"] != there["cpu"] == "another"


@pytest.mark.parametrize("name", ["steps", "model_batch"])
def test_what_leaves_nothing_to_time_is_refused_before_data_is_drawn(tmp_path, monkeypatch, name):
    monkeypatch.setattr("longrange.benchmarks.loading.build", lambda *_: pytest.fail("data"))
    counts = {"steps": 1, "model_batch": 4} | {name: 0}
    with pytest.raises(ConfigError, match=rf"^benchmark\.{name}=0: must be at least 1$"):
        loading(toy_config(tmp_path), seconds=0.1, **counts, folder=str(tmp_path))


@pytest.mark.parametrize("seconds", [0, -1.5])
def test_no_time_to_draw_is_refused(tmp_path, seconds):
    with pytest.raises(ConfigError, match=rf"^benchmark\.seconds={seconds}: must be above 0$"):
        loading(toy_config(tmp_path), seconds=seconds, model_batch=4, steps=1, folder=str(tmp_path))


def test_batches_are_drawn_for_an_epoch_at_most(monkeypatch):
    drawn = []
    data = ToyTask(batch_size=8)
    split = data.split("train")
    monkeypatch.setattr(data, "split", lambda name: split)
    gather = type(split).__getitems__
    monkeypatch.setattr(type(split), "__getitems__", lambda self, rows: drawn.append(len(rows)) or gather(self, rows))
    assert samples_per_s(data, seconds=60) > 0
    assert sum(drawn) == SIZES["train"]
