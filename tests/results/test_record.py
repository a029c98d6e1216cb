"""The run record."""

import dataclasses
import json
import platform

import pytest
import torch
from omegaconf import OmegaConf

from longrange.results import record

NAME = {"experiment": "quickstart", "task": "listops_short", "model": "s5"}
CFG = {"name": NAME, "seed": 7, "model": {"n_layers": 4}}
PACKAGES = {"longrange", "torch", "pytorch-lightning", "hydra-core", "numpy", "numba"}


@pytest.fixture
def written(outcome, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    path = record.write_record(outcome, OmegaConf.create(CFG))
    assert path == outcome.run_dir / "result.json"
    return json.loads(path.read_text())


def test_the_record_says_what_ran(written):
    assert {key: written[key] for key in NAME} == NAME
    assert written["seed"] == 7
    assert written["config"] == CFG
    assert written["versions"]["python"] == platform.python_version()
    assert written["versions"]["torch"] == torch.__version__
    assert set(written["versions"]) == {"python", *PACKAGES}
    assert written["hardware"]["cores"] >= 1
    assert written["hardware"]["memory_bytes"] > 2**28
    assert written["hardware"]["cpu"]


def test_the_record_says_what_came_out(written, outcome):
    assert written["metrics"] == outcome.metrics
    measured = ["metric", "baseline", "best_epoch", "n_parameters", "protocol", "precision", "backend"]
    measured += ["wall_s", "samples_per_s", "peak_memory_bytes", "resumed_from"]
    assert {name: written[name] for name in measured} == {name: getattr(outcome, name) for name in measured}
    assert written["best_checkpoint"] == "checkpoints/best.ckpt"
    resumed = dataclasses.replace(outcome, resumed_from=outcome.run_dir / "checkpoints" / "last.ckpt")
    assert record.build_record(resumed, OmegaConf.create(CFG))["resumed_from"] == "checkpoints/last.ckpt"
    assert written["epochs"] == 12
    assert written["confusion"] is None
    matrix = {"classes": ["no", "yes"], "counts": [[3, 1], [0, 2]]}
    counted = record.build_record(dataclasses.replace(outcome, confusion=matrix), OmegaConf.create(CFG))
    assert counted["confusion"] == matrix


def test_the_record_holds_no_environment(written):
    assert "0123456789abcdef" not in json.dumps(written)


def test_a_number_that_is_not_finite_becomes_null(outcome):
    broken = dataclasses.replace(outcome, metrics={"test": {"loss": float("nan"), "accuracy": float("inf")}})
    path = record.write_record(broken, OmegaConf.create(CFG))
    assert json.loads(path.read_text())["metrics"] == {"test": {"loss": None, "accuracy": None}}


def test_a_failed_write_leaves_the_earlier_record(outcome, written, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(record.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        record.write_record(dataclasses.replace(outcome, best_epoch=3), OmegaConf.create(CFG))
    assert [path.name for path in outcome.run_dir.iterdir()] == ["result.json"]
    assert json.loads((outcome.run_dir / "result.json").read_text())["best_epoch"] == 9
