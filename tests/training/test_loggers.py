"""Loggers: what they leave on disk."""

from pathlib import Path

import pytest
import wandb_file
from toy_task import InterruptedAtError, toy_config

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


def test_wandb_resumes_the_same_run(tmp_path):
    cfg = toy_config(tmp_path, "logger=wandb_offline")
    cfg.callbacks.interrupt = {"_target_": "toy_task.InterruptAt", "epoch": 1, "batch": 0}
    with pytest.raises(InterruptedAtError):
        train(cfg)
    train(toy_config(tmp_path, "logger=wandb_offline", "ckpt=last"))
    runs = wandb_folders(cfg)
    assert len(runs) == 2
    assert len({wandb_file.run_id(run) for run in runs}) == 1
    epochs = [row["epoch"] for run in runs for row in wandb_file.metrics(run) if "val/accuracy" in row]
    assert epochs == [0, 1]


def test_wandb_without_a_key_is_one_line(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(ConfigError, match=r"logger=wandb: .*; use logger=wandb_offline") as error:
        train(toy_config(tmp_path, "logger=wandb"))
    assert "\n" not in str(error.value)


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
    logger.log_metrics({"epoch": 3, "test/loss": 9.0})
    again = EpochCSV(str(tmp_path))
    again.log_metrics({"epoch": 2, "train/loss": 0.5, "lr": 0.1})
    assert (tmp_path / "metrics.csv").read_text().splitlines() == [
        "epoch,lr,train/loss,val/loss",
        "0,,1.0,2.0",
        "1,,1.0,2.0",
        "2,0.1,0.5,2.0",
    ]
