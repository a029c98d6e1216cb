"""The benchmark's batches and figures."""

import json
import subprocess
import sys

import pytest
import torch

from longrange.benchmarks.training_step import projections, random_batch, training_step
from longrange.cli import compose
from longrange.errors import ConfigError
from longrange.models import TaskSpec
from tests.paths import ROOT

SMALL = ["experiment=quickstart", "data.batch_size=3", "model.n_layers=1"]


@pytest.mark.parametrize(
    ("spec", "shapes"),
    [
        (TaskSpec("a", "tokens", 7, 4, 20, variable_length=True), ((3, 20), (3,), (3,))),
        (TaskSpec("b", "continuous", 2, 4, 20), ((3, 20, 2), None, (3,))),
        (TaskSpec("c", "tokens", 7, 2, 20, variable_length=True, paired=True), ((6, 20), (6,), (3,))),
        (TaskSpec("d", "continuous", 2, 3, 20, loss="mse"), ((3, 20, 2), None, (3, 3))),
    ],
)
def test_a_random_batch_has_the_tasks_shape(spec, shapes):
    batch = random_batch(spec, 3)
    assert tuple(None if part is None else tuple(part.shape) for part in batch) == shapes
    assert torch.equal(batch.inputs, random_batch(spec, 3).inputs)


def test_a_training_step_reports_time_memory_and_size():
    report = training_step(compose("benchmark", SMALL), warmup=0, steps=2)
    assert report["step_s"] > 0
    assert report["samples_per_s"] == pytest.approx(3 / report["step_s"], rel=0.02)
    assert report["peak_memory_bytes"] > 2**26
    assert report["experiment"] == "quickstart"
    with pytest.raises(ConfigError, match=r"benchmark\.steps=0"):
        training_step(compose("benchmark", SMALL), warmup=0, steps=0)


def test_pairs_are_counted_before_any_is_timed():
    with pytest.raises(ConfigError, match=r"^benchmark\.repeats=0: must be at least 1$"):
        projections(compose("benchmark", SMALL), repeats=0)


@pytest.mark.parametrize("what", ["step", "linear"])
def test_the_script_prints_one_json_line(what):
    command = [sys.executable, ROOT / "scripts" / "benchmark.py", *SMALL, f"benchmark={what}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = done.stdout.splitlines()
    report = json.loads(line)
    assert report["task"] == "listops_short"
    assert ("step_s" if what == "step" else "speedup") in report


def test_the_speedup_of_a_projection_is_torchs_time_over_ours(monkeypatch):
    times = iter([0.0, 0.0, 1.0, 3.0])  # a pair that does not count, then ours and torch's
    monkeypatch.setattr("longrange.benchmarks.training_step.seconds_of", lambda function, device: next(times))
    report = projections(compose("benchmark", SMALL), repeats=1)
    assert (report["linear_s"], report["torch_linear_s"], report["speedup"]) == (1.0, 3.0, 3.0)


def test_the_median_step_counts(monkeypatch):
    seconds = iter([1.0, 4.0, 2.0])
    monkeypatch.setattr("longrange.benchmarks.training_step.seconds_of", lambda function, device: next(seconds))
    report = training_step(compose("benchmark", SMALL), warmup=0, steps=3)
    assert (report["step_s"], report["samples_per_s"]) == (2.0, 1.5)
