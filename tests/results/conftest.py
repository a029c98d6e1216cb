"""A made-up finished training."""

from pathlib import Path

import pytest

from longrange.training.outcome import Outcome


@pytest.fixture
def outcome(tmp_path: Path) -> Outcome:
    history = [
        {
            "epoch": epoch,
            "train/loss": 2.0 / (epoch + 1),
            "val/loss": 2.2 / (epoch + 1) + 0.01 * epoch,
            "train/accuracy": 0.6 - 0.4 / (epoch + 1),
            "val/accuracy": 0.55 - 0.4 / (epoch + 1) - 0.004 * max(0, epoch - 9),
            "lr": 0.001,
        }
        for epoch in range(12)
    ]
    return Outcome(
        run_dir=tmp_path,
        metric="accuracy",
        history=history,
        metrics={"train": {"accuracy": 0.58, "loss": 0.2}, "val": {"accuracy": 0.51}, "test": {"accuracy": 0.4731}},
        best_epoch=9,
        best_checkpoint=tmp_path / "checkpoints" / "best.ckpt",
        n_parameters=188_490,
        protocol="heldout",
        baseline=0.17,
        precision="32-true",
        backend="cpu",
        wall_s=283.4,
        samples_per_s=911.2,
        peak_memory_bytes=700 * 2**20,
    )
