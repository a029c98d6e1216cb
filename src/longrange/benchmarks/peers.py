"""One training step of ours beside the same step of the published implementation, on the same device.

Each of the two is a process of its own, with its own libraries. They are built one after the other, then asked for a
step in turn, so that whatever else the machine does hits both alike. While one runs the other sleeps.
"""

import os
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from statistics import median
from time import sleep
from typing import Any

from omegaconf import DictConfig, OmegaConf

from longrange.benchmarks.training_step import check_counts
from longrange.csv_files import keep_rows
from longrange.errors import ConfigError
from longrange.models.spec import TaskSpec
from longrange.peers import alone
from longrange.peers.process import Worker, worker
from longrange.peers.published import Peer, peer_of
from longrange.provenance import commit_of, device_name, hardware
from longrange.training.build import TF32, build

KEY = ("experiment", "device", "precision")  # of a row
COLUMNS = (
    *(*KEY, "batch_size", "length", "ratio"),
    *("ours_s", "peer_s", "ours_samples_per_s", "peer_samples_per_s"),
    *("ours_peak_memory_bytes", "peer_peak_memory_bytes", "ours_first_s", "peer_first_s"),
    *("ours_parameters", "peer_parameters", "rounds", "threads"),
    *("longrange", "commit", "versions", "peer", "peer_commit", "peer_versions", "date"),
)
OURS = (sys.executable, "-m", "longrange.benchmarks.our_worker")  # the program of our side
_TURN = 1.0  # seconds at least: a step finds the caches as the step before left them, not as the other process did
_REST = 0.1  # seconds before a step: idle threads spin for some milliseconds before they sleep
_DEVICES = {"cpu": "cpu", "gpu": "gpu", "cuda": "gpu"}


def peers(
    cfg: DictConfig,
    *,
    s5: str | None,
    s4: str | None,
    python: str | None,
    warmup: int,
    rounds: int,
    cpu_batch: Mapping[str, int],
    folder: str,
) -> dict[str, Any]:
    """Time a step of ours and a step of the peer's in turn.

    Args:
        cfg: as composed from configs/benchmark.yaml.
        s5: folder of a checkout of lindermanlab/S5.
        s4: folder of a checkout of state-spaces/s4.
        python: interpreter of the peer; None: this one.
        warmup: rounds before the clock starts.
        rounds: timed rounds, a step of each; the medians count.
        cpu_batch: task -> batch size on a CPU at most; 1 for a task that is not in it.
        folder: where rows.csv keeps one row for each experiment, device and precision.
    Returns:
        The row: seconds, samples a second, peak memory (of the process on a CPU, of the allocator on a GPU) and seconds
        of the first step, which compiles, of both; `ratio` is the peer's time over ours.
    Raises:
        ConfigError: no rounds; the experiment's model, precision or device has no peer; a checkout that is missing or
            none; an interpreter that lacks a package; a worker that died.
    """
    check_counts(rounds=rounds, warmup=warmup)
    device = _device(cfg)
    sized = _sized(cfg, cpu_batch) if device == "cpu" else cfg
    data = build(sized.data)
    peer = peer_of(sized, data.spec)
    checkout = peer.checkout({"s5": s5, "s4": s4}[peer.key])
    order = peer_order(sized, data.spec, checkout, device)
    with _peer_worker(peer, checkout, python or sys.executable, device) as theirs:
        peer_facts = _built(theirs, order)
        with _our_worker(device) as ours:
            facts = _built(ours, OmegaConf.to_container(sized, resolve=True))
            taken = steps_in_turn(ours, theirs, warmup, rounds)
    row = {
        **{"experiment": _experiment(cfg), "device": device_name(facts), "precision": cfg.trainer.precision},
        **{"batch_size": data.batch_size, "length": data.spec.max_length},
        **figures(taken, data.batch_size),
        **{"ours_first_s": round(facts["first_s"], 2), "peer_first_s": round(peer_facts["first_s"], 2)},
        **{"ours_parameters": facts["n_parameters"], "peer_parameters": peer_facts["n_parameters"]},
        **{key: facts[key] for key in ("threads", "longrange", "commit", "versions", "date")},
        **{"rounds": rounds, "peer": peer.repository},
        "peer_commit": commit_of(checkout, str(Path(peer.file).parent)),
        "peer_versions": peer_facts["versions"],
    }
    keep_rows(Path(folder) / "rows.csv", [{key: row[key] for key in COLUMNS}], KEY)
    return row


def peer_order(cfg: DictConfig, spec: TaskSpec, checkout: Path, device: str) -> dict[str, Any]:
    """What the peer's worker is told: the task's shape and the model in the words of configs/model."""
    return {
        "checkout": str(checkout),
        "device": device,
        "tf32": cfg.trainer.precision == TF32,
        "batch_size": cfg.data.batch_size,
        "spec": asdict(spec),
        "model": {"final_norm": False, **OmegaConf.to_container(cfg.model, resolve=True)},
    }


def steps_in_turn(ours: Worker, theirs: Worker, warmup: int, rounds: int) -> list[list[dict[str, Any]]]:
    """The answers of both workers to the timed rounds, ours first in each.

    Raises:
        ConfigError: a worker died.
    """
    taken = []
    for number in range(1 - warmup, rounds + 1):
        taken.append([_turn(each) for each in (ours, theirs)])
        seconds, peer_seconds = (answer["step_s"] for answer in taken[-1])
        name = f"round {number} of {rounds}" if number > 0 else "warm-up"
        _say(f"{name}: {ours.name} {seconds:.3f} s, {theirs.name} {peer_seconds:.3f} s")
    return taken[warmup:]


def _turn(process: Worker) -> dict[str, Any]:
    """A step, once the threads of the other have gone to sleep: the median one of as many as fill the least time."""
    sleep(_REST)
    answers = [process.ask({})]
    while sum(answer["step_s"] for answer in answers) < _TURN:
        answers.append(process.ask({}))
    return {**answers[-1], "step_s": median(answer["step_s"] for answer in answers)}


def figures(taken: list[list[dict[str, Any]]], batch_size: int) -> dict[str, Any]:
    """Medians of the steps, their ratio, and the highest peaks."""
    sides = dict(zip(("ours", "peer"), zip(*taken, strict=True), strict=True))
    seconds = {side: median(answer["step_s"] for answer in answers) for side, answers in sides.items()}
    return {
        "ratio": round(seconds["peer"] / seconds["ours"], 2),
        **{f"{side}_s": round(value, 4) for side, value in seconds.items()},
        **{f"{side}_samples_per_s": round(batch_size / value, 3) for side, value in seconds.items()},
        **{f"{side}_peak_memory_bytes": answers[-1]["peak_memory_bytes"] for side, answers in sides.items()},
    }


def _device(cfg: DictConfig) -> str:
    accelerator, precision = cfg.trainer.accelerator, str(cfg.trainer.precision)
    if accelerator not in _DEVICES:
        raise ConfigError(f"trainer.accelerator={accelerator}: choose trainer=cpu or trainer=gpu for benchmark=peers")
    if precision not in ("32-true", *([TF32] if accelerator == "gpu" else [])):
        raise ConfigError(f"trainer.precision={precision}: the peers know 32-true and, on a GPU, {TF32}")
    return _DEVICES[accelerator]


def _sized(cfg: DictConfig, cpu_batch: Mapping[str, int]) -> DictConfig:
    """The configuration with the batch that a CPU takes in reasonable time."""
    batch_size = min(cfg.data.batch_size, cpu_batch.get(cfg.name.task, 1))
    return OmegaConf.merge(cfg, {"data": {"batch_size": batch_size}})


def _our_worker(device: str) -> AbstractContextManager[Worker]:
    return worker("ours", OURS, _environment(device), "benchmark=step runs it alone")


def _peer_worker(peer: Peer, checkout: Path, python: str, device: str) -> AbstractContextManager[Worker]:
    command = [python, str(Path(alone.__file__).with_name(peer.program))]
    remedy = (
        f"benchmark.python={python} must have {peer.packages}, "
        f"benchmark.{peer.key}={checkout} be an unchanged checkout of https://github.com/{peer.repository}"
    )
    return worker(peer.repository, command, _environment(device), remedy)


def _environment(device: str) -> dict[str, str]:
    """Equal threads for both; JAX on the device of the trainer."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(hardware()["cores"]),  # as many as JAX takes, which has no such setting
        "JAX_PLATFORMS": "cuda" if device == "gpu" else "cpu",
        "JAX_TRACEBACK_FILTERING": "off",  # else the last line is a note of its own
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # leaves room for the other
    }


def _built(process: Worker, order: dict[str, Any]) -> dict[str, Any]:
    _say(f"{process.name}: builds the model, compiles, takes its first step")
    facts = process.ask(order)
    _say(f"{process.name}: ready, first step {facts['first_s']:.1f} s, {facts['n_parameters']:,} parameters")
    return facts


def _experiment(cfg: DictConfig) -> str:
    return cfg.name.experiment or f"{cfg.name.task}/{cfg.name.model}"


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
