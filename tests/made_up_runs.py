"""What a training leaves behind, without a training."""

import csv
from pathlib import Path
from typing import Any


def record(model: str = "s5", seed: int = 0, test: float | None = 0.5, **changes: Any) -> dict[str, Any]:
    """What `result.json` holds."""
    overrides = [f"model={model}", f"seed={seed}", "paths.data=/somewhere", "save_every_s=60"]
    return {
        "experiment": None,
        "task": "listops",
        "model": model,
        "seed": seed,
        "finished": "2026-01-02T03:04:00+00:00",
        "commit": "0123456789abcdef",
        "dirty": False,
        "versions": {"torch": "2.11"},
        "hardware": {"cpu": "CPU", "cores": 2, "gpu": None},
        "metric": "accuracy",
        "metrics": {"test": {"accuracy": test, "loss": 1.5}, "val": {"accuracy": 0.52}},
        "best_epoch": 1,
        "epochs": 3,
        "n_parameters": 12345,
        "protocol": "heldout",
        "baseline": 0.17,
        "precision": "32-true",
        "backend": "cpu",
        "wall_s": 90.0,
        "samples_per_s": 911.2,
        "peak_memory_bytes": 2**20,
        "resumed_from": None,
        "config": {
            "seed": seed,
            "name": {"overrides": overrides},
            "model": {"_target_": "longrange.models.SequenceClassifier", "d_model": 64, "layer": {"d_state": 16}},
            "optimizer": {"lr": 0.01, "rules": {"global": {"lr": 0.01}}},
            "trainer": {"accelerator": "cpu"},
        },
    } | changes


def write_metrics(path: Path, epochs: int, metric: str = "accuracy") -> None:
    """Epochs of a run that learns."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "lr", f"train/{metric}", "train/loss", f"val/{metric}", "val/loss", "test/loss"])
        for epoch in range(epochs):
            learnt = epoch / (epoch + 2)
            writer.writerow([epoch, 0.01, learnt, 2 - learnt, 0.9 * learnt, 2.1 - learnt, ""])
