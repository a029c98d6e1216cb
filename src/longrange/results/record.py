"""The run record, `result.json`: all that a table needs to know about a run, and all that tables are built from."""

import json
import math
import os
import platform
import re
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from longrange.machine import cpu_model
from longrange.training.outcome import Outcome
from longrange.whole_files import write_whole

_COMMIT = re.compile(r"([0-9a-f]{7,40})(-dirty)?")  # as LONGRANGE_COMMIT names it
_PACKAGES = ("longrange", "torch", "pytorch-lightning", "hydra-core", "numpy", "numba")


def write_record(outcome: Outcome, cfg: DictConfig) -> Path:
    """Write `result.json` into the run's folder, whole or not at all.

    Args:
        outcome: the measured facts of the training.
        cfg: the run's composed configuration.
    Returns:
        The file.
    """
    text = json.dumps(_plain(build_record(outcome, cfg)), indent=2, allow_nan=False) + "\n"
    return write_whole(outcome.run_dir / "result.json", text.encode())


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


def versions() -> dict[str, str]:
    """Of Python and the packages that results depend on; torch's says what it was built for, e.g. "2.13.0+cpu"."""
    installed = {name: version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **installed, "torch": str(torch.__version__)}


def git_state() -> dict[str, str | bool | None]:
    """The commit that the running code came from, and whether files differ from it; None where that is not known.

    Code that was copied without its repository takes the word of LONGRANGE_COMMIT, a commit or `<commit>-dirty`.
    """
    commit = _git("rev-parse", "HEAD")
    if commit is not None:
        return {"commit": commit, "dirty": bool(_git("status", "--porcelain"))}
    told = _COMMIT.fullmatch(os.environ.get("LONGRANGE_COMMIT", ""))
    return {"commit": told[1], "dirty": told[2] is not None} if told else {"commit": None, "dirty": None}


def commit() -> str:
    """The same in one word, e.g. "3f2a...-dirty"; "unknown" where it is not known."""
    state = git_state()
    return f"{state['commit'] or 'unknown'}{'-dirty' if state['dirty'] else ''}"


def hardware() -> dict[str, Any]:
    """Processor, cores this process may use, memory in bytes, and the GPU if there is one."""
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _plain(value: Any) -> Any:
    """The value in JSON's terms; a number that is not finite becomes null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
