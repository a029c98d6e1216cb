"""What a finished training hands to the run record."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What an answer that ignores the input is called, see `Outcome.baseline`.
BASELINES = {"accuracy": "majority class", "rmse": "training mean"}


@dataclass(frozen=True)
class Pretraining:
    """The measured facts of the stage before a training.

    Attributes:
        objective: "masked" or "causal".
        epochs: passes over the training split.
        best_epoch: the epoch whose weights the training began with, counted from 0.
        loss: of that epoch, per split ("train", "val").
        wall_s: seconds in fit, of the process that ended the stage.
        resumed: that process went on with an interrupted stage.
    """

    objective: str
    epochs: int
    best_epoch: int
    loss: dict[str, float]
    wall_s: float
    resumed: bool = False


@dataclass(frozen=True)
class Outcome:
    """The measured facts of one training.

    Attributes:
        run_dir: the run's folder; checkpoints lie in `run_dir/checkpoints`.
        metric: the selection metric without its split, e.g. "accuracy".
        history: one row per finished epoch, e.g. {"epoch": 0, "train/loss": ..., "val/accuracy": ..., "lr": ...}.
        metrics: per split ("train", "val", "test") at the selected epoch, e.g. {"test": {"accuracy": 0.47, ...}}.
        best_epoch: the selected epoch, counted from 0.
        best_checkpoint: the file that the test metrics were computed from.
        n_parameters: trainable parameters.
        protocol: "heldout" or "paper", from the data module.
        baseline: the metric on the test split of an answer that ignores the input: accuracy of the most frequent class,
            or RMSE of the mean of the training targets.
        precision: the trainer's precision setting.
        backend: kernel backend that ran ("reference", "cpu", "triton").
        wall_s: seconds in fit, this process only.
        samples_per_s: training samples per second over the epochs of this process, of all processes together,
            validation excluded, and its first batch where there are others: it may wait for kernels to be compiled.
        peak_memory_bytes: most memory resident (CPU) or allocated (GPU) while it trained, of the first process.
        resumed_from: the checkpoint this run continued from, None for a fresh run.
        pretraining: the stage that gave the first weights; None where they were random.
        confusion: of the test split, see `longrange.training.confusion`; None where there is none.
        processes: that shared each batch, each on its device.
    """

    run_dir: Path
    metric: str
    history: list[dict[str, float]]
    metrics: dict[str, dict[str, float]]
    best_epoch: int
    best_checkpoint: Path
    n_parameters: int
    protocol: str
    baseline: float
    precision: str
    backend: str
    wall_s: float
    samples_per_s: float
    peak_memory_bytes: int
    resumed_from: Path | None = None
    pretraining: Pretraining | None = None
    confusion: dict[str, Any] | None = None
    processes: int = 1
