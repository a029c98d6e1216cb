"""How fast a task's training batches come from its prepared files, beside how fast a model takes them."""

from pathlib import Path
from time import perf_counter
from typing import Any

from omegaconf import DictConfig, OmegaConf

from longrange.benchmarks.training_step import check_counts, training_step
from longrange.csv_files import keep_rows
from longrange.data.module import SequenceDataModule
from longrange.errors import ConfigError
from longrange.provenance import PLACE
from longrange.training.build import build


def loading(cfg: DictConfig, *, seconds: float, model_batch: int, steps: int, folder: str) -> dict[str, Any]:
    """Samples a second from the training loader, from shuffled batches of the experiment's size, and into the model.

    Args:
        cfg: as composed from configs/benchmark.yaml; the data is prepared where it is not.
        seconds: how long batches are drawn, an epoch at most.
        model_batch: batch size of the model's training steps, at most; small ones need less memory.
        steps: timed training steps; the median counts.
        folder: where rows.csv keeps a row for each task, model and machine.
    Returns:
        The row.
    Raises:
        ConfigError: no steps or sequences to time, or no time.
        DataError: the data cannot be had.
    """
    check_counts(steps=steps, model_batch=model_batch)
    if seconds <= 0:
        raise ConfigError(f"benchmark.seconds={seconds}: must be above 0")
    data = build(cfg.data)
    data.prepare_data()
    supply = samples_per_s(data, seconds)
    small = OmegaConf.merge(cfg, {"data": {"batch_size": min(model_batch, data.batch_size)}})
    demand = training_step(small, warmup=1, steps=steps)
    row = {
        "task": cfg.name.task,
        "model": cfg.name.model,
        "batch_size": data.batch_size,
        "loader_samples_per_s": round(supply),
        "model_samples_per_s": demand["samples_per_s"],
        "ratio": round(supply / demand["samples_per_s"]),
        **{key: demand[key] for key in PLACE},
    }
    keep_rows(Path(folder) / "rows.csv", [row], ["task", "model", "device", "cpu"])
    return row


def samples_per_s(data: SequenceDataModule, seconds: float) -> float:
    """Samples a second over the batches of one epoch, or of its first `seconds`."""
    drawn, began = 0, perf_counter()
    for batch in data.train_dataloader():
        drawn += len(batch.targets)
        if perf_counter() - began > seconds:
            break
    return drawn / (perf_counter() - began)
