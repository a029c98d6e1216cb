"""Where the time of one training step goes, part by part, and how much of it each part needs at least.

Every part's time is taken within whole steps: the clock changes over whenever another part begins, see
`profile_watch`, so the parts and the rest add up to the step. Beside it stands the part's floor: its matrix products at
the best rate of this machine, or the bytes it cannot avoid to move at the best bandwidth, whichever takes longer; both
rates are measured in the same run. The gap between time and floor is what there is to be gained.

A step is that of `benchmark=step`, on one random batch of full length, with loader, clipping and schedule besides;
Lightning's own loop, metrics and logs are not in it. A floor assumes nothing of caches: what a part finds there, from
the part before, it may read faster than memory gives it, so small tensors can be faster than their floor.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from omegaconf import DictConfig

from longrange.benchmarks.profile_clock import Lap, TimedWatch
from longrange.benchmarks.profile_floor import Limits, Part, Work
from longrange.benchmarks.profile_limits import bandwidth, matrix_rate
from longrange.benchmarks.profile_report import write_report
from longrange.benchmarks.profile_step import ProfiledStep
from longrange.benchmarks.profile_watch import Watch
from longrange.benchmarks.training_step import check_counts, seconds_of, where_run


@dataclass(frozen=True)
class Row:
    """One part of the step, its times and floors in seconds.

    Attributes:
        part: its name.
        forward_s: time in the forward pass, or of a part that has no backward pass.
        backward_s: time in the backward pass.
        share: of the step.
        forward_floor_s: least time of what `forward_s` is spent on.
        backward_floor_s: least time of what `backward_s` is spent on.
        gap_s: time minus floor, both directions.
        reached: floor over time; above 1 where caches help.
        bound: "matrix" or "memory", what most of the floor is; "" where there is none.
        gflop: operations of matrix products, in billions.
        mib: bytes that are moved at least, in MiB.
    """

    part: str
    forward_s: float
    backward_s: float
    share: float
    forward_floor_s: float
    backward_floor_s: float
    gap_s: float
    reached: float
    bound: str
    gflop: float
    mib: float


def profile(cfg: DictConfig, *, warmup: int, steps: int, loader: bool, folder: str) -> dict[str, Any]:
    """Take one training step apart.

    Args:
        cfg: as composed from configs/benchmark.yaml.
        warmup: steps before the clock starts.
        steps: timed steps, each followed by one that is timed as a whole, unwatched. Of the former, sorted by
            duration, the middle half counts, and the table is its mean.
        loader: draw a batch from the task's training loader in each step; the data is prepared where it is not.
        folder: where <experiment>.json, .csv and .png are written.
    Returns:
        What was run on, the measured limits, the step and the sum of its floors, and the file with the parts.
    Raises:
        ConfigError: no steps to time.
        DataError: the data cannot be had.
    """
    check_counts(steps=steps, warmup=warmup)
    step = ProfiledStep(cfg, loader=loader)
    limits = measured_limits(step)
    for _ in range(warmup):
        step.run(Watch())
    times, unwatched_s = measured_times(step, steps)
    rows = table(times, step.work(limits))
    floor_s = sum(row.forward_floor_s + row.backward_floor_s for row in rows)
    summary = {
        **where_run(cfg, step.fabric.device),
        "batch_size": step.data.batch_size,
        "length": step.data.spec.max_length,
        "step_s": times.total(),
        "unwatched_step_s": unwatched_s,
        "floor_s": floor_s,
        "reached": floor_s / times.total(),
        "matrix_gflop_per_s": {str(dtype)[6:]: rate / 1e9 for dtype, rate in limits.matrix.items()},
        "bandwidth_gb_per_s": limits.bandwidth / 1e9,
    }
    return write_report(Path(folder), summary, [asdict(row) for row in rows])


def measured_limits(step: ProfiledStep) -> Limits:
    """The rates of this machine for the types of numbers that the step computes in."""
    device = step.fabric.device
    types = [torch.float32, *([torch.bfloat16] if "bf16" in step.precision else [])]
    return Limits({dtype: matrix_rate(dtype, device) for dtype in types}, bandwidth(device))


def measured_times(step: ProfiledStep, steps: int) -> tuple[Counter[Lap], float]:
    """Seconds of each part, whose sum is a step's, and median seconds of an unwatched step."""
    watched, unwatched = [], []
    for _ in range(steps):
        watch = TimedWatch(step.fabric.device)
        step.run(watch)
        watched.append(watch.seconds())
        unwatched.append(seconds_of(lambda: step.run(Watch()), step.fabric.device))
    watched.sort(key=Counter.total)
    middle = watched[steps // 4 : steps - steps // 4]
    return Counter({lap: sum(each[lap] for each in middle) / len(middle) for lap in middle[0]}), median(unwatched)


def table(times: Counter[Lap], work: dict[Part, Work]) -> list[Row]:
    """One row for each part, the largest gap first."""
    parts = dict.fromkeys(part for part, _ in times)
    rows = [_row(part, times, [work.get((part, way), Work()) for way in ("forward", "backward")]) for part in parts]
    return sorted(rows, key=lambda row: -row.gap_s)


def _row(part: str, times: Counter[Lap], works: list[Work]) -> Row:
    forward_s, backward_s = times[part, "forward"], times[part, "backward"]
    floor_s = sum(work.seconds for work in works)
    matrix, memory = sum(work.matrix_seconds for work in works), sum(work.memory_seconds for work in works)
    return Row(
        part=part,
        forward_s=forward_s,
        backward_s=backward_s,
        share=(forward_s + backward_s) / times.total(),
        forward_floor_s=works[0].seconds,
        backward_floor_s=works[1].seconds,
        gap_s=forward_s + backward_s - floor_s,
        reached=floor_s / (forward_s + backward_s),
        bound="" if not floor_s else "matrix" if matrix > memory else "memory",
        gflop=sum(work.operations for work in works) / 1e9,
        mib=sum(work.bytes for work in works) / 2**20,
    )
