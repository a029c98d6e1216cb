"""Loggers: what they leave on disk."""

import csv
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import wandb
import wandb_file
from toy_task import InterruptedAtError, toy_config

from longrange.cli import CONFIG_DIR
from longrange.errors import ConfigError
from longrange.training import train
from longrange.training.loggers import EpochCSV


def wandb_folders(cfg):
    """The folders for `wandb sync` in a run's folder, oldest first."""
    return sorted(Path(cfg.paths.run_dir, "wandb").glob("offline-run-*"), key=lambda folder: folder.stat().st_ctime)


def test_wandb_offline_has_one_run_per_job(tmp_path):
    jobs = [toy_config(tmp_path / str(seed), "logger=wandb_offline", f"seed={seed}") for seed in range(2)]
    outcomes = [train(job) for job in jobs]
    ids = {wandb_file.run_id(folder) for job in jobs for folder in wandb_folders(job)}
    assert len(ids) == 2
    for seed, outcome in enumerate(outcomes):
        (folder,) = wandb_folders(jobs[seed])
        config = wandb_file.config(folder)
        assert config["seed"] == seed
        assert config["model"]["d_model"] == 8
        validated = [row["val/accuracy"] for row in wandb_file.metrics(folder) if "val/accuracy" in row]
        assert validated == pytest.approx([row["val/accuracy"] for row in outcome.history])
        assert [row["test/accuracy"] for row in wandb_file.metrics(folder) if "test/accuracy" in row] == pytest.approx(
            [outcome.metrics["test"]["accuracy"]]
        )


def test_all_loggers_show_the_same_metrics_under_the_same_names(tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    cfg = toy_config(tmp_path, "logger=wandb_offline", "epochs=3")
    cfg.logger.tensorboard = {"_target_": "longrange.training.loggers.tensorboard", "save_dir": str(tmp_path)}
    outcome = train(cfg)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        table = by_epoch({name: value for name, value in row.items() if value} for row in csv.DictReader(file))
    (folder,) = wandb_folders(cfg)
    sent = by_epoch(wandb_file.metrics(folder))
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    drawn = by_epoch(tensorboard_rows(events))
    health = {"grad_norm_mean", "grad_norm_max", "dt_min", "dt_max", "spectral_radius"}
    names = {"lr", *health, *(f"{split}/{name}" for split in ("train", "val", "test") for name in ("accuracy", "loss"))}
    for shown in (table, sent, drawn):
        assert {name for name, _ in shown} == names
        assert shown.keys() == table.keys()
        assert shown == pytest.approx(table, rel=1e-6)
    assert table["test/loss", outcome.best_epoch] == pytest.approx(outcome.metrics["test"]["loss"])
    assert len(table) == 3 * 10 + 2


def by_epoch(rows: Iterable[dict]) -> dict[tuple[str, int], float]:
    """(metric, epoch) -> value; without what a logger counts for itself."""
    own = ("epoch", "trainer/global_step")
    return {
        (name, int(row["epoch"])): float(value)
        for row in rows
        if "epoch" in row
        for name, value in row.items()
        if name not in own and not name.startswith("_")
    }


def tensorboard_rows(events) -> Iterable[dict]:
    """One row per value: what TensorBoard shows at a step, and the epoch it shows there."""
    tags = set(events.Tags()["scalars"])
    kept = {tag: [(event.wall_time, event.step, event.value) for event in events.Scalars(tag)] for tag in tags}
    for tag in tags - {"epoch"}:
        for time, step, value in kept[tag]:
            epochs = [(abs(then - time), epoch) for then, at, epoch in kept["epoch"] if at == step]
            yield {tag: value, "epoch": min(epochs)[1]}


def test_wandb_resumes_the_same_run(tmp_path):
    cfg = toy_config(tmp_path, "logger=wandb_offline")
    cfg.callbacks.interrupt = {"_target_": "toy_task.InterruptAt", "epoch": 1, "batch": 0}
    with pytest.raises(InterruptedAtError):
        train(cfg)
    train(toy_config(tmp_path, "logger=wandb_offline", "resume=last"))
    runs = wandb_folders(cfg)
    assert len(runs) == 2
    assert len({wandb_file.run_id(run) for run in runs}) == 1
    epochs = [row["epoch"] for run in runs for row in wandb_file.metrics(run) if "val/accuracy" in row]
    assert epochs == [0, 1]


def test_wandb_without_a_key_is_one_line(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    wandb.teardown()  # it keeps the key that an earlier test gave it
    with pytest.raises(ConfigError, match=r"logger=wandb: .*API key.*; use logger=wandb_offline") as error:
        train(toy_config(tmp_path, "logger=wandb"))
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_server_that_is_not_there_ends_the_program_with_one_line(tmp_path):
    """And soon: older clients go on trying for minutes after that line."""
    nowhere = {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": "0123456789" * 4}
    command = [sys.executable, CONFIG_DIR.parent / "scripts/train.py", "experiment=quickstart", "logger=wandb"]
    small = ["data.recipe.train=60", "data.recipe.val=20", "data.recipe.test=20", f"paths.data={tmp_path}"]
    ran = subprocess.run(
        [*command, *small], cwd=tmp_path, env=os.environ | nowhere, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 2
    assert re.search(r"^error: logger=wandb: .*; use logger=wandb_offline", ran.stderr.splitlines()[-1])


def test_tensorboard_writes_every_epoch(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    outcome = train(toy_config(tmp_path, "logger=tensorboard"))
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("val/accuracy")
    assert [event.value for event in events] == pytest.approx([row["val/accuracy"] for row in outcome.history])
    assert (tmp_path / "metrics.csv").is_file()


def test_missing_tensorboard_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("longrange.training.loggers.TensorBoardLogger", _not_installed)
    with pytest.raises(ConfigError, match=r"pip install 'longrange\[tensorboard\]'"):
        train(toy_config(tmp_path, "logger=tensorboard"))


def _not_installed(*_, **__):
    raise ModuleNotFoundError("tensorboard")


def test_csv_replaces_repeated_epochs(tmp_path):
    logger = EpochCSV(str(tmp_path))
    for epoch in range(3):
        logger.log_metrics({"epoch": epoch, "train/loss": 1.0})
        logger.log_metrics({"epoch": epoch, "val/loss": 2.0})
    logger.log_metrics({"epoch": 1, "test/loss": 9.0})
    again = EpochCSV(str(tmp_path))
    again.log_metrics({"epoch": 2, "train/loss": 0.5, "lr": 0.1})
    assert (tmp_path / "metrics.csv").read_text().splitlines() == [
        "epoch,lr,test/loss,train/loss,val/loss",
        "0,,,1.0,2.0",
        "1,,9.0,1.0,2.0",
        "2,0.1,,0.5,2.0",
    ]
