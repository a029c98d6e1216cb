"""Whether a training in bf16 follows one in float32: the same first steps in both, from several seeds, as curves."""

import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from longrange.benchmarks.findings import Findings, findings
from longrange.benchmarks.first_steps import FirstSteps, first_steps
from longrange.benchmarks.precision_noise import Comparison, compare, smoothed
from longrange.benchmarks.precision_plot import draw_curves
from longrange.benchmarks.training_step import where_run
from longrange.csv_files import as_csv
from longrange.errors import ConfigError, DivergedError
from longrange.provenance import file_name, setting_name
from longrange.training.values import check_values
from longrange.whole_files import write_whole

PRECISIONS = {"float32": "32-true", "bf16": "bf16-mixed"}  # as the trainer calls them; the first is the standard
_SEEDS = range(3, 11)  # numbers of them: with two no split could show a difference, with many there are too many splits
_LINES = 4  # of progress for each training

Runs = dict[str, list[FirstSteps]]


def precision(cfg: DictConfig, *, seeds: Sequence[int], steps: int, window: int, folder: str) -> dict[str, Any]:
    """Train the same steps in float32 and in bf16, each from several seeds, and hold the curves beside each other.

    The trainings are real ones, see `first_steps`. A seed sets weights, order and dropout, and is the same in both.

    Args:
        cfg: as composed from configs/benchmark.yaml; the data is prepared where it is not.
        seeds: of the trainings, 3 to 10.
        steps: optimizer steps of each.
        window: steps that a point of a curve is the mean of.
        folder: where <experiment>-<device>.json, .csv (losses of all steps) and .png are written.
    Returns:
        What was run on; of each precision the loss at the last point of the curve, its mean and standard deviation over
        seeds and its value for each seed, and seconds of a step; the comparison, see `Comparison`; `within_noise` by
        the rule of `compare`. Losses of a training that diverged are None.
    Raises:
        ConfigError: numbers that fit nothing, or a training that has fewer steps.
        DataError: the data cannot be had.
        DivergedError: a training in float32 diverges.
    """
    check_values(cfg)
    _check(seeds, steps, window)
    target = Path(folder)
    with findings(target, cfg) as kept:
        return _reported(cfg, _trained(cfg, seeds, steps, kept), seeds, window, target)


def _reported(cfg: DictConfig, runs: Runs, seeds: Sequence[int], window: int, target: Path) -> dict[str, Any]:
    losses = {kind: np.stack([run.losses for run in own]) for kind, own in runs.items()}
    curves = {kind: smoothed(own, window) for kind, own in losses.items()}
    first = runs["float32"][0]
    summary = {
        **where_run(cfg, torch.device(first.device)),
        "precision": list(PRECISIONS.values()),
        **{"batch_size": first.batch_size, "steps": len(first.losses), "window": window, "seeds": list(seeds)},
        **{kind: _outcome(own, curves[kind]) for kind, own in runs.items()},
        **_compared(compare(curves["float32"], curves["bf16"])),
    }
    path = target / f"{_name(summary)}.json"
    write_whole(path.with_suffix(".csv"), _table(losses, seeds))
    draw_curves(path.with_suffix(".png"), summary, curves)
    write_whole(path, (json.dumps(summary, indent=1, allow_nan=False) + "\n").encode())
    return {**summary, "file": str(path)}


def _check(seeds: Sequence[int], steps: int, window: int) -> None:
    if len(set(seeds)) != len(seeds) or len(seeds) not in _SEEDS:
        shown = ",".join(map(str, seeds))
        raise ConfigError(f"benchmark.seeds=[{shown}]: must be {_SEEDS[0]} to {_SEEDS[-1]} different ones")
    if not 1 <= window <= steps:
        raise ConfigError(
            f"benchmark.steps={steps}, benchmark.window={window}: at least 1, and a window within the steps"
        )


def _trained(cfg: DictConfig, seeds: Sequence[int], steps: int, kept: Findings) -> Runs:
    """Both precisions of a seed one after the other, so that what else the machine does hits both alike."""
    progress = _Progress(len(seeds) * len(PRECISIONS), steps)
    runs: Runs = {kind: [] for kind in PRECISIONS}
    for seed in seeds:
        for kind, name in PRECISIONS.items():
            progress.begin(f"{name}, seed {seed}")
            found = kept.find(f"{name}, seed {seed}", partial(_training, cfg, seed, name, steps, progress.step))
            runs[kind].append(FirstSteps(**found))
    return runs


def _training(cfg: DictConfig, seed: int, name: str, steps: int, watch: Callable[[float], None]) -> dict[str, Any]:
    """One of them, as `FirstSteps` that JSON can hold."""
    own = OmegaConf.merge(cfg, {"seed": seed, "data": {"seed": seed}, "trainer": {"precision": name}})
    found = first_steps(own, steps, watch)
    if name == PRECISIONS["float32"] and not np.isfinite(found.losses).all():
        raise DivergedError(
            f"seed {seed} diverges in float32, there is nothing to follow; lower optimizer.lr or optimizer.ssm_lr"
        )
    return asdict(found)


class _Progress:
    """Says on standard error how far the trainings are, and when the last one ends."""

    def __init__(self, runs: int, steps: int):
        self.runs, self.steps, self._began = runs, steps, perf_counter()
        self._run, self._done, self._label = 0, 0, ""
        self._measured = 0  # steps since the beginning, those that an interrupted run has left not counted

    def begin(self, label: str) -> None:
        """The next training."""
        self._run, self._done, self._label = self._run + 1, 0, label

    def step(self, loss: float) -> None:
        """One step of it; some of them are told of."""
        self._done, self._measured = self._done + 1, self._measured + 1
        if self._done % max(self.steps // _LINES, 1) == 0:
            ahead = (self.runs - self._run + 1) * self.steps - self._done
            left = (perf_counter() - self._began) / self._measured * ahead
            sys.stderr.write(
                f"training {self._run} of {self.runs} ({self._label}): step {self._done} of {self.steps}, "
                f"loss {loss:.4f}, all end in {timedelta(seconds=round(left))}\n"
            )


def _outcome(runs: list[FirstSteps], curves: np.ndarray) -> dict[str, Any]:
    last = curves[:, -1]
    return {
        "final_loss": _number(last.mean()),
        "final_spread": _number(last.std(ddof=1)),
        "final_losses": [_number(value) for value in last],
        "step_s": _number(np.median([run.step_s for run in runs])),
    }


def _compared(comparison: Comparison) -> dict[str, Any]:
    figures = {
        name: _number(value) if isinstance(value, float) else value for name, value in asdict(comparison).items()
    }
    return {**figures, "within_noise": comparison.within_noise}


def _number(value: float) -> float | None:
    """Six significant digits; None for what JSON has no word for."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _name(summary: dict[str, Any]) -> str:
    """Of the files."""
    return file_name(setting_name(summary), summary["device"])


def _table(losses: dict[str, np.ndarray], seeds: Sequence[int]) -> bytes:
    """A row for each step, from 1, a column for each training."""
    names = [f"{kind}_{seed}" for kind in losses for seed in seeds]
    steps = enumerate(np.concatenate(list(losses.values())).T, start=1)
    return as_csv([{"step": step, **dict(zip(names, map("{:.6g}".format, row), strict=True))} for step, row in steps])
