"""How much faster a training step gets when processes share its batch, and what of it they spend talking.

Each setting runs in processes of its own, set up as `trainer=ddp` does it. A step is that of `benchmark=step`; the two
votes on stopping and saving that a training's processes take after each step are not in it.
"""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from lightning_fabric.plugins.environments.lightning import find_free_network_port
from omegaconf import DictConfig, OmegaConf
from torch import distributed, multiprocessing
from torch.utils._python_dispatch import TorchDispatchMode

from longrange.benchmarks.findings import findings
from longrange.benchmarks.step_estimate import Link, OneDevice, step_on
from longrange.benchmarks.training_step import Step, check_counts, check_rows, seconds_of, where_run
from longrange.csv_files import keep_rows
from longrange.data.batch import Batch
from longrange.data.progress import tracked
from longrange.errors import ConfigError
from longrange.provenance import PLACE
from longrange.training.noise import quiet

_OF_STEP = (*PLACE, "experiment", "precision", "gradient_bytes")
_REPEATS = 50  # of a sum that is timed on its own
_SHORT = 64  # steps of the sequences with which sums are only counted
_PLACE = ("experiment", "device", "cpu", "precision", "batch_size")  # of a row, besides its setting


def strong_scaling(
    cfg: DictConfig,
    *,
    settings: Sequence[tuple[int, int]],
    warmup: int,
    steps: int,
    estimate: Mapping[str, Any],
    folder: str,
) -> dict[str, Any]:
    """Time one step of the same batch in several settings, and estimate it for many GPUs.

    Args:
        cfg: as composed from configs/benchmark.yaml; `data.batch_size` is that of the whole batch.
        settings: processes and threads of each.
        warmup: steps before the clock starts.
        steps: timed steps.
        estimate: batch_size, devices (numbers of them), and the link: bandwidth_gb_per_s, latency_us.
        folder: where rows.csv keeps a row for each setting and estimate.csv one for each number of devices.
    Returns:
        The rows of both.
    Raises:
        ConfigError: no steps or settings to time, fewer examples or GPUs than processes, or a process was killed.
    """
    check_counts(steps=steps, warmup=warmup)
    _check_settings(settings)
    _check_estimate(**estimate)
    _check(cfg, max(processes for processes, _ in settings))
    with findings(Path(folder), cfg) as kept:
        rows = [
            kept.find(
                f"{processes} x {threads}", partial(_together, shared_step, cfg, processes, threads, warmup, steps)
            )
            for processes, threads in tracked(settings, "steps shared by processes")
        ]
        count = kept.find("sums", partial(_together, small_sums, cfg, 2, 1))
        rows = [_compared(row, rows[0], count) for row in rows]
        estimated = _estimated(rows[0], count, **estimate)
        keep_rows(Path(folder) / "rows.csv", rows, (*_PLACE, "processes", "threads"))
        keep_rows(Path(folder) / "estimate.csv", estimated, (*_PLACE, "devices"))
    return {"rows": rows, "estimate": estimated}


def _check_settings(settings: Sequence[tuple[int, int]]) -> None:
    pairs = [list(setting) for setting in settings]
    if not pairs or any(len(pair) != 2 or min(pair) < 1 for pair in pairs):
        raise ConfigError(f"benchmark.settings={pairs}: must be pairs [processes, threads], one or more")


def _check_estimate(*, devices: Sequence[int], latency_us: float, **counts: float) -> None:
    check_rows(1, **{"estimate.devices": devices})
    if latency_us < 0:
        raise ConfigError(f"benchmark.estimate.latency_us={latency_us}: must not be negative")
    for name, count in counts.items():
        if count <= 0:
            raise ConfigError(f"benchmark.estimate.{name}={count}: must be more than 0")


def _check(cfg: DictConfig, processes: int) -> None:
    if cfg.data.batch_size < processes:
        raise ConfigError(f"data.batch_size={cfg.data.batch_size}: too few examples for {processes} processes")
    gpus = torch.cuda.device_count() if cfg.trainer.accelerator != "cpu" else 0
    if gpus and gpus < processes:
        raise ConfigError(
            f"benchmark.settings: {processes} processes, but there are {gpus} GPUs; take benchmark.settings=[[1,1]]"
        )


def _together(find: Callable[..., Any], cfg: DictConfig, processes: int, threads: int, *arguments: int) -> Any:
    """What the first of several processes finds, all of which call the same function at the same time."""
    answers = multiprocessing.get_context("spawn").SimpleQueue()
    before = os.environ.copy()
    os.environ.update(
        OMP_NUM_THREADS=str(threads),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(find_free_network_port()),
    )
    try:
        multiprocessing.spawn(_answer, (answers, find, cfg, processes, threads, *arguments), processes)
    except multiprocessing.ProcessExitedException as lost:
        raise ConfigError(
            f"benchmark=processes: one of {processes} was lost ({lost}), perhaps for want of memory; "
            "take a smaller data.batch_size"
        ) from lost
    finally:
        os.environ.clear()
        os.environ.update(before)
    return answers.get()


def _answer(
    rank: int, answers: Any, find: Callable[..., Any], cfg: DictConfig, processes: int, threads: int, *arguments: int
) -> None:
    torch.set_num_threads(threads)
    os.environ["LOCAL_RANK"] = str(rank)  # Lightning need not start them
    with quiet():
        found = find(cfg, processes, rank, *arguments)
    if rank == 0:
        answers.put(found)
    if processes > 1:
        distributed.destroy_process_group()


def shared_step(cfg: DictConfig, processes: int, rank: int, warmup: int, steps: int) -> dict[str, Any]:
    """Time the step and its sums; all processes call this at the same time.

    Args:
        cfg: as composed from configs/benchmark.yaml.
        processes: how many share the batch.
        rank: which of them this is.
        warmup: steps before the clock starts.
        steps: timed steps.
    Returns:
        Median seconds of the step, bytes of the gradients, seconds of a sum of them over all processes, and of a small
        sum such as a norm has.
    """
    step = Step(cfg, processes, rank)
    device = step.fabric.device
    for _ in range(warmup):
        step.run()
    seconds = median(seconds_of(step.run, device) for _ in range(steps))
    return {
        **where_run(cfg, device),
        "processes": processes,
        "batch_size": step.data.batch_size,
        "step_s": round(seconds, 4),
        "gradient_bytes": step.n_parameters * 4,
        "gradient_s": _seconds_of_sum(torch.zeros(step.n_parameters, device=device)),
        "small_s": _seconds_of_sum(torch.zeros(2, cfg.model.d_model, device=device)),
    }


def _seconds_of_sum(x: torch.Tensor) -> float:
    """Median seconds of summing a tensor over all processes; 0 where there is one."""
    if not distributed.is_initialized():
        return 0.0
    times = [seconds_of(partial(distributed.all_reduce, x), x.device) for _ in range(_REPEATS)]
    return round(median(times), 6)


def small_sums(cfg: DictConfig, processes: int, rank: int) -> int:
    """How often a step waits for other processes besides for the sum of the gradients; counted on short sequences."""
    changes = {"trainer": {"accelerator": "cpu", "precision": "32-true"}, "data": {"batch_size": processes}}
    step = Step(OmegaConf.merge(cfg, changes), processes, rank)
    lengths = None if step.batch.lengths is None else step.batch.lengths.clamp(max=_SHORT)
    step.batch = Batch(step.batch.inputs[:, :_SHORT], lengths, step.batch.targets)
    with Collectives() as whole:
        step.run()
    with Collectives() as without, step.fabric.no_backward_sync(step.model):
        step.run()
    of_gradients = whole.calls["allreduce_"] - without.calls["allreduce_"]
    return whole.calls.total() - of_gradients


class Collectives(TorchDispatchMode):
    """Counts the calls of other processes, by name.

    Attributes:
        calls: of each operation so far, in the backward pass too.
    """

    def __init__(self):
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Count, and do it."""
        if function.namespace == "c10d":
            self.calls[function.overloadpacket.__name__] += 1
        return function(*args, **(kwargs or {}))


def _compared(row: dict[str, Any], first: dict[str, Any], count: int) -> dict[str, Any]:
    """A row with what its processes spend on sums, one after another, and how it compares with the first."""
    count, speedup = count if row["processes"] > 1 else 0, first["step_s"] / row["step_s"]
    return row | {
        "small_sums": count,
        "communication_s": round(row["gradient_s"] + count * row["small_s"], 6),
        "speedup": round(speedup, 2),
        "efficiency": round(speedup / (row["processes"] * row["threads"]), 2),
    }


def _estimated(
    row: dict[str, Any],
    count: int,
    *,
    batch_size: int,
    devices: Sequence[int],
    bandwidth_gb_per_s: float,
    latency_us: float,
) -> list[dict[str, Any]]:
    """One row for each number of devices, from the step of one process."""
    seconds = row["step_s"] / row["batch_size"] * batch_size
    one = OneDevice(seconds, batch_size, row["gradient_bytes"], count)
    link = Link(bandwidth_gb_per_s * 1e9, latency_us * 1e-6)
    return [
        {
            **{key: row[key] for key in _OF_STEP},
            **{"batch_size": batch_size, "small_sums": count},
            **{"bandwidth_gb_per_s": bandwidth_gb_per_s, "latency_us": latency_us},
            **{key: round(value, 7) for key, value in step_on(n, one, link)._asdict().items()},
        }
        for n in devices
    ]
