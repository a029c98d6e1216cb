"""Evaluation at another sample rate, and of keys that a run has or has not."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from paths import ROOT
from wave_files import write_words

from longrange.cli import compose
from longrange.data.speech_clips import COMMANDS
from longrange.errors import CheckpointError, ConfigError
from longrange.training import evaluate, train
from longrange.training.checkpoint import load
from longrange.training.durable import DurableIO
from longrange.training.evaluate import with_overrides


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small model of ten words, trained on noise at 16 kHz for one epoch."""
    folder = tmp_path_factory.mktemp("speech")
    write_words(folder / "speech_commands", COMMANDS, each=8)
    small = ["model.d_model=4", "model.n_layers=1", "model.layer.d_state=4", "model.layer.n_blocks=1", "epochs=1"]
    command = ["data=sc10", "model=s5", f"paths.data={folder}", "data.batch_size=20", *small]
    return train(compose("train", command, run_dir=tmp_path_factory.mktemp("run")))


def evaluated(run, *overrides):
    return evaluate(compose("evaluate", [f"checkpoint={run.best_checkpoint}", *overrides]))


def test_another_sample_rate_is_measured_beside_the_one_of_training(run):
    both = evaluated(run, "++data.sample_rate=8000")
    assert list(both) == ["16000 Hz, rate 1", "8000 Hz, rate 2"]
    own, half = both.values()
    assert own["test"] == pytest.approx(run.metrics["test"], rel=1e-5)
    assert half["test"]["loss"] != own["test"]["loss"]
    assert half["test"]["loss"] == pytest.approx(own["test"]["loss"], rel=0.05)
    assert list(evaluated(run, "++data.sample_rate=8000", "rate=1.0")) == ["16000 Hz, rate 1", "8000 Hz, rate 1"]


def test_data_is_read_where_it_is_now(run, monkeypatch):
    trained = OmegaConf.create(load(run.best_checkpoint)["config"])
    moved = Path(trained.paths.data).rename(Path(trained.paths.data).with_name("moved"))
    try:
        assert evaluated(run, f"paths.data={moved}").keys() == {"16000 Hz, rate 1"}
        monkeypatch.setenv("LONGRANGE_DATA", str(moved))
        assert evaluated(run).keys() == {"16000 Hz, rate 1"}
        assert not Path(trained.paths.data).exists()
    finally:
        moved.rename(trained.paths.data)


def test_all_of_a_split_is_measured_whatever_the_run_left_out(run, tmp_path):
    limited = load(run.best_checkpoint)
    limited["config"]["trainer"] |= {"limit_val_batches": 1, "limit_test_batches": 1}
    DurableIO().save_checkpoint(limited, tmp_path / "limited.ckpt")
    path = f"checkpoint={tmp_path / 'limited.ckpt'}"
    assert evaluate(compose("evaluate", [path, "data.batch_size=2"])) == evaluated(run, "data.batch_size=2")
    (part,) = evaluate(compose("evaluate", [path, "data.batch_size=2", "trainer.limit_test_batches=1"])).values()
    assert part["test"] != evaluated(run)["16000 Hz, rate 1"]["test"]


@pytest.mark.parametrize(
    ("override", "told"),
    [("rate=0", "rate=0: "), ("rate=abc", "rate=abc: "), ("packages=abc", r"such as packages=\[abc\]")],
)
def test_its_own_keys_are_checked(run, override, told):
    with pytest.raises(ConfigError, match=told):
        evaluated(run, override)


@pytest.mark.parametrize(
    "override",
    ["seed=3", "optimizer.lr=5", "epochs=99", "model.d_model=6", "+logger=wandb", "graphs=true", "scheduler=constant"],
)
def test_what_the_checkpoint_decides_cannot_be_changed(override):
    told = (
        rf"^{re.escape(override.lstrip('+'))}: the checkpoint decides .* can change data, trainer, paths, backend and"
    )
    cfg = OmegaConf.create({"checkpoint": "none.ckpt", "rate": None, "packages": [], "overrides": [override]})
    with pytest.raises(ConfigError, match=told):
        evaluate(cfg)


@pytest.mark.parametrize("override", ["~logger", "~data.cache_dir"])
def test_nothing_is_taken_away_from_a_run(override):
    cfg = OmegaConf.create({"checkpoint": "none.ckpt", "rate": None, "packages": [], "overrides": [override]})
    with pytest.raises(ConfigError, match=rf"^{override}: an evaluation takes nothing away"):
        evaluate(cfg)


def test_what_an_evaluation_can_change(run):
    kept = evaluated(run, "backend=reference", "trainer=cpu", "paths.outputs=elsewhere", "launcher=local")
    assert kept["16000 Hz, rate 1"]["test"] == pytest.approx(run.metrics["test"], rel=1e-5)


def test_the_command_line_takes_the_keys_of_the_checkpoint(run):
    script = [sys.executable, ROOT / "scripts" / "evaluate.py", f"checkpoint={run.best_checkpoint}"]
    good = subprocess.run([*script, "data.sample_rate=8000"], capture_output=True, text=True, check=True)
    assert good.stdout.count("at 16000 Hz, rate 1\n") == good.stdout.count("at 8000 Hz, rate 2\n") == 1
    bad = subprocess.run([*script, "data.sample_rat=8000"], capture_output=True, text=True)
    assert bad.returncode == 2
    assert "data.sample_rat: the run of this checkpoint has no such key; it has" in bad.stderr


def test_a_key_that_the_run_lacks_is_refused_unless_it_is_added():
    run = OmegaConf.create({"data": {"batch_size": 4}})
    wanted = {"overrides": ["++data.batches=5"], "data": {"batches": 5}}
    with pytest.raises(ConfigError, match=r"data\.batches: the run .* it has batch_size; \+data\.batches=\.\.\. adds"):
        with_overrides(run.copy(), OmegaConf.create(wanted))
    added = with_overrides(run.copy(), OmegaConf.create(wanted | {"overrides": ["+data.batches=5"]}))
    assert added.data == {"batch_size": 4, "batches": 5}


@pytest.mark.parametrize("target", ["os.mkdir", "longrange.data.files.os.mkdir"])
def test_a_checkpoint_calls_nothing_that_is_not_trusted(run, tmp_path, target):
    checkpoint = load(run.best_checkpoint)
    checkpoint["config"]["scheduler"] = {"_target_": target, "path": str(tmp_path / "made")}
    foreign = tmp_path / "foreign.ckpt"
    DurableIO().save_checkpoint(checkpoint, foreign)
    command = [f"checkpoint={foreign}"]
    with pytest.raises(CheckpointError, match=rf"foreign\.ckpt: would call {target}, which no file of configs/ names"):
        evaluate(compose("evaluate", command))
    assert not (tmp_path / "made").exists()
    evaluate(compose("evaluate", [*command, f"packages=[{target.partition('.')[0]}]"]))
    assert (tmp_path / "made").exists()


def test_a_checkpoint_reads_no_environment(run, tmp_path):
    checkpoint = load(run.best_checkpoint)
    checkpoint["config"]["paths"]["data"] = "${oc.env:HOME}"
    foreign = tmp_path / "foreign.ckpt"
    DurableIO().save_checkpoint(checkpoint, foreign)
    with pytest.raises(CheckpointError, match=r"data=\$\{oc\.env:HOME\}: the configuration of a run has no such value"):
        evaluate(compose("evaluate", [f"checkpoint={foreign}"]))
