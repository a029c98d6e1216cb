"""The benchmarks of single layers: tables, picture and exponents from small sizes."""

import csv
from functools import partial

import pytest

from longrange.benchmarks.scaling import _steps, comparison, recurrence, scaling
from longrange.cli import compose
from longrange.errors import ConfigError
from longrange.layers import S4, S4D, S5

CFG = compose("benchmark", [])


def rows_of(folder):
    return list(csv.DictReader((folder / "rows.csv").open()))


@pytest.mark.slow
def test_scaling_writes_a_row_for_every_shape_and_a_picture(tmp_path):
    layers = {"s4d": partial(S4D, n_ssm=None)}
    sizes = {"d_model": 4, "lengths": [64, 128], "states": [4, 8], "length": 64, "d_state": 4}
    report = scaling(CFG, layers=layers, folder=str(tmp_path), **sizes)
    shapes = [(row["layer"], int(row["length"]), int(row["d_state"])) for row in rows_of(tmp_path)]
    assert shapes == [("s4d", 64, 4), ("s4d", 128, 4), ("s4d", 64, 8)]
    assert all(float(row["seconds"]) > 0 for row in rows_of(tmp_path))
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")
    assert set(report["s4d"]) == {"time in length", "memory in length", "time in d_state", "memory in d_state"}


def test_recurrence_compares_steps_with_recomputing(tmp_path):
    report = recurrence(CFG, layers={"s5": S5}, d_model=4, d_state=4, lengths=[32, 64], folder=str(tmp_path))
    rows = rows_of(tmp_path)
    assert [int(row["length"]) for row in rows] == [32, 64]
    for row in rows:
        ratio = float(row["steps_per_s"]) / float(row["recomputed_per_s"])
        assert ratio == pytest.approx(float(row["ratio"]), rel=0.1, abs=1)
    assert set(report["s5"]) == {32, 64}


@pytest.mark.slow
def test_comparison_measures_each_layer(tmp_path):
    layers = {"one": S4, "two": S5}
    report = comparison(CFG, layers=layers, d_model=4, d_state=4, length=32, batch=2)
    assert report["one"]["seconds"] > 0
    assert report["two"]["extra_mib"] >= 0


@pytest.mark.parametrize("lengths", [[], [32, 0]])
def test_recurrence_wants_lengths(tmp_path, lengths):
    with pytest.raises(ConfigError, match=r"^benchmark\.lengths=\[.*\]: must be one size or more, each at least 1$"):
        recurrence(CFG, layers={"s5": S5}, d_model=4, d_state=4, lengths=lengths, folder=str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"lengths": [64, 64]}, r"benchmark\.lengths=\[64, 64\]: must be two sizes or more"),
        ({"states": []}, r"benchmark\.states=\[\]: must be two sizes or more"),
        ({"length": 0}, r"benchmark\.length=0: must be at least 1"),
    ],
)
def test_scaling_wants_something_to_grow(tmp_path, changes, told):
    sizes = {"d_model": 4, "lengths": [64, 128], "states": [4, 8], "length": 64, "d_state": 4}
    with pytest.raises(ConfigError, match=told):
        scaling(CFG, layers={"s5": S5}, folder=str(tmp_path / "out"), **sizes | changes)
    assert not list(tmp_path.iterdir())


def test_comparison_wants_sequences():
    with pytest.raises(ConfigError, match=r"benchmark\.batch=0: must be at least 1"):
        comparison(CFG, layers={"one": S4}, d_model=4, d_state=4, length=32, batch=0)


@pytest.mark.parametrize("name", ["d_model", "d_state"])
def test_layers_without_a_size_are_refused(tmp_path, name):
    sizes = {"d_model": 4, "d_state": 4} | {name: 0}
    with pytest.raises(ConfigError, match=rf"^benchmark\.{name}=0: must be at least 1$"):
        recurrence(CFG, layers={"s5": S5}, **sizes, lengths=[32], folder=str(tmp_path))
    with pytest.raises(ConfigError, match=rf"^benchmark\.{name}=0: must be at least 1$"):
        comparison(CFG, layers={"s5": S5}, **sizes, length=32, batch=1)


def test_a_step_and_a_recomputation_are_timed_one_by_one(monkeypatch):
    """200 steps in 2 s, three whole sequences in 6 s."""
    times = iter([0.0, 2.0, 10.0, 16.0])
    monkeypatch.setattr("longrange.benchmarks.scaling.perf_counter", lambda: next(times))
    row = _steps("s5", S5(4, 4), 32)
    assert (row["steps_per_s"], row["recomputed_per_s"], row["ratio"]) == (100, 0.5, 200)
