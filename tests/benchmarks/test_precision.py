"""Trainings in float32 and bf16 beside each other: files, figures, mistakes."""

import csv
import json

import numpy as np
import pytest
from toy_task import toy_config

from longrange.benchmarks import precision as module
from longrange.benchmarks.first_steps import FirstSteps
from longrange.benchmarks.precision import precision
from longrange.errors import ConfigError, DivergedError

SETTINGS = {"seeds": [0, 1, 2], "steps": 6, "window": 2}


def test_both_precisions_are_trained_from_each_seed(tmp_path, capsys):
    report = precision(toy_config(tmp_path), **SETTINGS, folder=str(tmp_path / "out"))
    said = capsys.readouterr()
    assert said.out == ""
    assert "training 6 of 6 (bf16-mixed, seed 2): step 6 of 6, loss" in said.err
    assert "all end in 0:00:00" in said.err
    path = tmp_path / "out" / "listops-s5-cpu.json"
    assert report == {**json.loads(path.read_text()), "file": str(path)}
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    with path.with_suffix(".csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", *(f"{kind}_{seed}" for kind in ("float32", "bf16") for seed in range(3))]
    assert [row["step"] for row in rows] == list("123456")
    assert len(set(rows[-1].values())) == 7, "every training has losses of its own"
    last = [(float(rows[-1][f"bf16_{seed}"]) + float(rows[-2][f"bf16_{seed}"])) / 2 for seed in range(3)]
    assert report["bf16"]["final_losses"] == pytest.approx(last, rel=1e-5)
    assert report["bf16"]["final_loss"] == pytest.approx(np.mean(last), rel=1e-5)
    assert min(report["float32"]["step_s"], report["bf16"]["step_s"]) > 0
    assert report["splits"] == 10
    assert report["within_noise"] == (report["as_far"] > 1)


def made_up(monkeypatch, diverging):
    """Trainings that are not run, and a list of them; one precision of them diverges at the second step."""
    trained = []

    def first_steps(cfg, steps, watch):
        losses = np.linspace(2.0 + cfg.seed, 1.0, steps)
        if cfg.trainer.precision == diverging:
            losses[1:] = np.nan
        trained.append((cfg.seed, cfg.trainer.precision))
        return FirstSteps(losses.tolist(), step_s=0.1, batch_size=8, device="cpu")

    monkeypatch.setattr(module, "first_steps", first_steps)
    return trained


def test_bf16_that_diverges_is_a_result(tmp_path, monkeypatch):
    made_up(monkeypatch, "bf16-mixed")
    report = precision(toy_config(tmp_path), **SETTINGS, folder=str(tmp_path))
    assert (report["within_noise"], report["bf16"]["final_loss"], report["distance"]) == (False, None, None)
    assert report["float32"]["final_losses"] == pytest.approx([1.1, 1.2, 1.3])


def test_float32_that_diverges_is_a_mistake(tmp_path, monkeypatch):
    made_up(monkeypatch, "32-true")
    with pytest.raises(DivergedError, match="seed 0 diverges in float32"):
        precision(toy_config(tmp_path), **SETTINGS, folder=str(tmp_path / "out"))
    assert list(tmp_path.glob("out/*")) == []


def test_an_interrupted_comparison_trains_what_it_lacks(tmp_path, monkeypatch):
    monkeypatch.setattr("longrange.benchmarks.findings.commit", lambda: "0123456789ab")
    trained = made_up(monkeypatch, None)
    cfg, folder = toy_config(tmp_path), tmp_path / "out"
    whole = precision(cfg, **SETTINGS, folder=str(folder))
    everything = trained.copy()
    trained.clear()

    real = module.first_steps

    def stopped(cfg, steps, watch):
        if cfg.seed:
            raise KeyboardInterrupt
        return real(cfg, steps, watch)

    with monkeypatch.context() as stop:
        stop.setattr(module, "first_steps", stopped)
        with pytest.raises(KeyboardInterrupt):
            precision(cfg, **SETTINGS, folder=str(folder))
    assert precision(cfg, **SETTINGS, folder=str(folder)) == whole
    assert trained == everything
    assert not list(folder.glob("unfinished*"))


def test_a_report_that_cannot_be_written_costs_no_training(tmp_path, monkeypatch):
    monkeypatch.setattr("longrange.benchmarks.findings.commit", lambda: "0123456789ab")
    trained = made_up(monkeypatch, None)
    cfg, folder = toy_config(tmp_path), tmp_path / "out"

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(module, "draw_curves", full)
        with pytest.raises(OSError, match="No space left"):
            precision(cfg, **SETTINGS, folder=str(folder))
    trained.clear()
    precision(cfg, **SETTINGS, folder=str(folder))
    assert trained == []


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ({"seeds": [0, 1]}, r"benchmark\.seeds=\[0,1\]: must be 3 to 10 different ones"),
        ({"seeds": [0, 1, 1]}, r"benchmark\.seeds=\[0,1,1\]: must be 3 to 10"),
        ({"steps": 0}, r"benchmark\.steps=0, benchmark\.window=2: at least 1"),
        ({"window": 7}, r"benchmark\.window=7: at least 1, and a window within the steps"),
        ({"steps": 17}, r"benchmark\.steps=17: the training has 16 steps"),
        ({"seeds": [-1, 0, 1]}, "seed=-1: must not be negative"),
    ],
)
def test_mistakes_are_one_line(tmp_path, mistake, message):
    with pytest.raises(ConfigError, match=message) as caught:
        precision(toy_config(tmp_path), **{**SETTINGS, **mistake}, folder=str(tmp_path))
    assert "\n" not in str(caught.value)


def test_an_outcome_is_mean_and_deviation_over_the_seeds_and_the_median_step():
    runs = [FirstSteps([], step_s, 4, "cpu") for step_s in (0.1, 0.9, 0.2)]
    found = module._outcome(runs, np.array([[9.0, 1.0], [9.0, 2.0], [9.0, 3.0]]))
    assert found == {"final_loss": 2.0, "final_spread": 1.0, "final_losses": [1.0, 2.0, 3.0], "step_s": 0.2}
