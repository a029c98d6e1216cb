"""A step that processes share: its parts, what is counted, and the rows of a measurement."""

import csv

import pytest
import torch
from toy_task import toy_config

from longrange.benchmarks.strong_scaling import _compared, _estimated, shared_step, small_sums, strong_scaling
from longrange.benchmarks.training_step import part_of
from longrange.data.batch import Batch
from longrange.errors import ConfigError
from longrange.models.dropout import Part
from longrange.provenance import PLACE

ESTIMATE = {"batch_size": 32, "devices": [1, 64], "bandwidth_gb_per_s": 100, "latency_us": 20}


def test_parts_of_a_batch_of_pairs():
    whole = Batch(torch.arange(10).view(10, 1), torch.arange(10), torch.arange(5))
    parts = [part_of(whole, Part(rank, 2, 5)) for rank in range(2)]
    assert [part.inputs.flatten().tolist() for part in parts] == [[0, 2, 4, 5, 7, 9], [1, 3, 6, 8]]
    assert [part.lengths.tolist() for part in parts] == [[0, 2, 4, 5, 7, 9], [1, 3, 6, 8]]
    assert [part.targets.tolist() for part in parts] == [[0, 2, 4], [1, 3]]
    assert part_of(whole._replace(lengths=None), Part(0, 1, 5)).lengths is None


def found_by(kind, folder, *overrides):
    """What one of two processes finds."""
    cfg = toy_config(folder, *overrides)
    rank = torch.distributed.get_rank()
    return shared_step(cfg, 2, rank, 0, 1) if kind == "step" else small_sums(cfg, 2, rank)


def test_both_processes_measure(processes, tmp_path):
    first, second = processes.call(found_by, "step", tmp_path)
    for row in (first, second):
        assert (row["processes"], row["batch_size"]) == (2, 8)
        assert min(row["step_s"], row["gradient_s"], row["small_s"]) > 0
    assert first["gradient_bytes"] == second["gradient_bytes"] > 0


@pytest.mark.parametrize(("norm", "expected"), [("batch", 2 * 2 + 2), ("layer", 0)])
def test_every_norm_waits_twice_and_the_running_statistics_are_sent(processes, tmp_path, norm, expected):
    """Forward and backward of two batch norms; a broadcast of floats and one of counters."""
    overrides = ["model.n_layers=2", f"model.block.norm={norm}"]
    assert processes.call(found_by, "sums", tmp_path, *overrides) == [expected, expected]


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_measurement_leaves_its_rows(tmp_path):
    """In processes that are started for it."""
    settings = {"settings": [[1, 1], [2, 1]], "warmup": 0, "steps": 1, "estimate": ESTIMATE}
    report = strong_scaling(toy_config(tmp_path), **settings, folder=str(tmp_path / "out"))
    alone, shared = rows_of(tmp_path / "out" / "rows.csv")
    assert (alone["processes"], alone["communication_s"], alone["speedup"]) == ("1", "0.0", "1.0")
    assert (shared["processes"], shared["small_sums"]) == ("2", str(report["rows"][1]["small_sums"]))
    assert float(shared["communication_s"]) > float(shared["gradient_s"]) > 0
    one, many = rows_of(tmp_path / "out" / "estimate.csv")
    assert (one["devices"], one["speedup"], many["devices"], many["examples"]) == ("1", "1.0", "64", "1")
    assert one["small_sums"] == shared["small_sums"]


@pytest.mark.parametrize(
    ("settings", "steps", "message"),
    [
        ([[1, 1]], 0, r"benchmark\.steps=0: must be at least 1"),
        ([[9, 1]], 1, r"data\.batch_size=8: too few examples for 9 processes"),
        ([], 1, r"benchmark\.settings=\[\]: must be pairs \[processes, threads\], one or more"),
        ([[1, 1], [2]], 1, r"benchmark\.settings=\[\[1, 1\], \[2\]\]: must be pairs"),
        ([[0, 1]], 1, r"benchmark\.settings=\[\[0, 1\]\]: must be pairs"),
    ],
)
def test_mistakes_are_one_line(tmp_path, settings, steps, message):
    with pytest.raises(ConfigError, match=message):
        strong_scaling(
            toy_config(tmp_path), settings=settings, warmup=0, steps=steps, estimate=ESTIMATE, folder=str(tmp_path)
        )


@pytest.mark.parametrize(
    ("name", "value"), [("batch_size", 0), ("devices", [1, 0]), ("bandwidth_gb_per_s", 0), ("latency_us", -1)]
)
def test_an_impossible_estimate_is_refused_before_anything_runs(tmp_path, monkeypatch, name, value):
    monkeypatch.setattr("longrange.benchmarks.strong_scaling._together", lambda *_: pytest.fail("measured"))
    settings = {"settings": [[1, 1]], "warmup": 0, "steps": 1, "estimate": {**ESTIMATE, name: value}}
    with pytest.raises(ConfigError, match=rf"^benchmark\.estimate\.{name}="):
        strong_scaling(toy_config(tmp_path), **settings, folder=str(tmp_path / "out"))


def test_shared_steps_are_compared_core_by_core():
    alone = {"processes": 1, "threads": 2, "step_s": 3.0, "gradient_s": 0.0, "small_s": 0.0}
    shared = {"processes": 2, "threads": 4, "step_s": 0.5, "gradient_s": 0.25, "small_s": 0.125}
    assert _compared(alone, alone, 3)["communication_s"] == 0.0
    found = _compared(shared, alone, 3)
    assert (found["small_sums"], found["communication_s"]) == (3, 0.625)
    assert (found["speedup"], found["efficiency"]) == (6.0, 0.75)


def test_an_estimate_is_of_its_own_batch():
    row = dict.fromkeys(PLACE) | {"experiment": "x", "precision": "32-true", "gradient_bytes": 4}
    row |= {"batch_size": 8, "step_s": 0.5}
    (one,) = _estimated(row, 2, batch_size=32, devices=[1], bandwidth_gb_per_s=100, latency_us=20)
    assert (one["examples"], one["compute_s"], one["step_s"]) == (32, 2.0, 2.0)
