"""The run record, `result.json`: all that a table needs to know about a run, and all that tables are built from."""

import json
import math
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from longrange.provenance import git_state, hardware, versions
from longrange.results.run_folder import RECORD
from longrange.training.outcome import Outcome
from longrange.whole_files import write_whole


def write_record(outcome: Outcome, cfg: DictConfig) -> Path:
    """Write `result.json` into the run's folder, whole or not at all.

    Args:
        outcome: the measured facts of the training.
        cfg: the run's composed configuration.
    Returns:
        The file.
    """
    text = json.dumps(_plain(build_record(outcome, cfg)), indent=2, allow_nan=False) + "\n"
    return write_whole(outcome.run_dir / RECORD, text.encode())


def build_record(outcome: Outcome, cfg: DictConfig) -> dict[str, Any]:
    """The record as a dictionary: what ran (configuration, code, machine), then what came out.

    Metrics are fractions and plain losses, times seconds, memory bytes; epochs count from 0.
    """
    measured = asdict(outcome)
    del measured["run_dir"], measured["history"]
    confusion = measured.pop("confusion")  # many lines: the last ones
    for name in ("best_checkpoint", "resumed_from"):  # relative, so that a run may be moved
        if measured[name] is not None:
            measured[name] = os.path.relpath(measured[name], outcome.run_dir)
    return {
        "experiment": cfg.name.experiment,
        "task": cfg.name.task,
        "model": cfg.name.model,
        "pretrain": outcome.pretraining and outcome.pretraining.objective,
        "seed": cfg.seed,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        **git_state(),
        "versions": versions(),
        "hardware": hardware(),
        **measured,
        "epochs": len(outcome.history),
        "config": OmegaConf.to_container(cfg, resolve=True),
        "confusion": confusion,
    }


def _plain(value: Any) -> Any:
    """The value in JSON's terms; a number that is not finite becomes null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
