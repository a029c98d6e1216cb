"""How the cost of a layer grows with the length and the state size, and what its recurrent mode saves.

Each measurement of growth runs in a process of its own, so that its peak memory is its own.
"""

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import log2
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from longrange.benchmarks.findings import findings
from longrange.benchmarks.training_step import check_counts, check_rows
from longrange.csv_files import as_csv
from longrange.data.progress import progress_bar, tracked
from longrange.layers import LSSL, SequenceLayer
from longrange.pictures import BLUE, GREEN, LIGHT_BLUE, RED, picture
from longrange.provenance import PLACE, where_measured
from longrange.ssm import DenseTransition
from longrange.training.peak_memory import peak_memory_bytes, reset_peak
from longrange.whole_files import write_whole

Build = Callable[..., SequenceLayer]  # (d_model, d_state=N) -> layer
_LEAST = 1e-6  # seconds or MiB: below, a peak was no higher than what the process had before
_LEAST_DRAWN_MIB = 0.1  # a logarithmic axis has no zero
_COLOURS = {"s4": BLUE, "s4d": LIGHT_BLUE, "s5": RED, "lssl": GREEN}


def scaling(
    cfg: DictConfig,
    *,
    layers: Mapping[str, Build],
    d_model: int,
    lengths: Sequence[int],
    states: Sequence[int],
    length: int,
    d_state: int,
    folder: str,
) -> dict[str, Any]:
    """Time forward and backward of one layer at batch 1 over a row of lengths and a row of state sizes.

    Args:
        cfg: the whole configuration; the layers run on this machine's CPU.
        layers: name -> builder of a layer, called with d_model and d_state.
        d_model: H.
        lengths: values of L, at state size `d_state`.
        states: values of N, at length `length`.
        length: L of the second row.
        d_state: N of the first row.
        folder: where rows.csv and scaling.png are written.
    Returns:
        For each layer the exponents of time and memory in L and in N over each row; L log L is 1.11 from 1k to 64k.
    Raises:
        ConfigError: a row of fewer than two sizes, along which nothing grows.
    """
    check_rows(2, lengths=lengths, states=states)
    check_counts(d_model=d_model, length=length, d_state=d_state)
    shapes = dict.fromkeys([(L, d_state) for L in lengths] + [(length, N) for N in states])
    jobs = [(name, build, d_model, L, N) for name, build in layers.items() for L, N in shapes]
    target = Path(folder)
    with findings(target, cfg) as kept:
        rows = _measured(jobs, kept.find)
        _write(target / "rows.csv", rows)
        _draw(target / "scaling.png", rows, length, d_state)
    growth = {name: growth_exponents([row for row in rows if row["layer"] == name], length, d_state) for name in layers}
    return {"threads": torch.get_num_threads(), "torch": torch.__version__, "rows": str(target / "rows.csv"), **growth}


def _now(name: str, measure: Callable[[], Any]) -> Any:
    return measure()


def _measured(jobs: list[tuple], find: Callable[[str, Callable[[], Any]], Any] = _now) -> list[dict[str, Any]]:
    """A row for each job, in a process of its own."""
    rows = []
    with progress_bar() as progress:
        task = progress.add_task("", total=len(jobs))
        for job in jobs:
            label = f"{job[0]} L {job[3]} N {job[4]}"
            progress.update(task, description=label)
            rows.append(find(label, partial(_alone, job)))
            progress.advance(task)
    return rows


def _alone(job: tuple) -> dict[str, Any]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, job)


class NaiveLSSL(LSSL):
    """LSSL with the kernel taken from all L columns A_bar^l B_bar: the slow twin, O(H N L) in memory."""

    def kernel(self, length: int, rate: float = 1.0) -> Tensor:
        """See `ConvolutionLayer.kernel`."""
        A_bar, B_bar = self.discretized(rate)
        return torch.einsum("mhn,hnl->mhl", self.C, DenseTransition(A_bar).krylov(B_bar, length))


def comparison(
    cfg: DictConfig, *, layers: Mapping[str, Build], d_model: int, d_state: int, length: int, batch: int
) -> dict[str, Any]:
    """Time and peak memory of forward and backward of several layers of one size, each in a process of its own.

    Args:
        cfg: the whole configuration; the layers run on this machine's CPU.
        layers: name -> builder of a layer, called with d_model and d_state.
        d_model: H.
        d_state: N.
        length: L.
        batch: B.
    Returns:
        seconds and extra_mib of each layer.
    Raises:
        ConfigError: no steps or sequences.
    """
    check_counts(d_model=d_model, d_state=d_state, length=length, batch=batch)
    rows = _measured([(name, build, d_model, length, d_state, batch) for name, build in layers.items()])
    size = {"d_model": d_model, "d_state": d_state, "length": length, "batch": batch}
    return size | {row["layer"]: {key: row[key] for key in ("seconds", "extra_mib")} for row in rows}


def measure(name: str, build: Build, d_model: int, L: int, N: int, batch: int = 1, repeats: int = 3) -> dict[str, Any]:
    """Forward and backward of one layer on random sequences.

    Returns:
        layer, d_model, length, d_state, seconds (median), extra_mib (peak memory above what the process had before).
    """
    torch.manual_seed(0)
    small = build(d_model, d_state=N)
    small.attune(64)
    small(torch.randn(1, 64, d_model, requires_grad=True)).sum().backward()  # compiles the kernels
    reset_peak(torch.device("cpu"))
    before = peak_memory_bytes(torch.device("cpu"))
    layer = build(d_model, d_state=N)
    layer.attune(L)
    u = torch.randn(batch, L, d_model, requires_grad=True)
    times = []
    for _ in range(repeats):
        began = perf_counter()
        layer(u).sum().backward()
        times.append(perf_counter() - began)
    extra = (peak_memory_bytes(torch.device("cpu")) - before) / 2**20
    return {
        "layer": name,
        "d_model": d_model,
        "length": L,
        "d_state": N,
        "seconds": round(median(times), 5),
        "extra_mib": round(extra, 1),
    }


def recurrence(
    cfg: DictConfig, *, layers: Mapping[str, Build], d_model: int, d_state: int, lengths: Sequence[int], folder: str
) -> dict[str, Any]:
    """Steps per second of the recurrent mode against recomputing the whole sequence for each new step.

    Args:
        cfg: the whole configuration; the layers run on this machine's CPU.
        layers: name -> builder of a layer, called with d_model and d_state.
        d_model: H.
        d_state: N.
        lengths: how many steps there were before.
        folder: where rows.csv is written.
    Returns:
        For each layer, by length: how many times as fast stepping is.
    Raises:
        ConfigError: no lengths.
    """
    check_rows(1, lengths=lengths)
    check_counts(d_model=d_model, d_state=d_state)
    jobs = [(name, build, L) for name, build in layers.items() for L in lengths]
    rows = [_steps(name, build(d_model, d_state=d_state), L) for name, build, L in tracked(jobs, "steps")]
    target = Path(folder)
    _write(target / "rows.csv", rows)
    ratios = {name: {row["length"]: row["ratio"] for row in rows if row["layer"] == name} for name in layers}
    return {"threads": torch.get_num_threads(), "rows": str(target / "rows.csv"), **ratios}


@torch.no_grad()
def _steps(name: str, layer: SequenceLayer, L: int, count: int = 200) -> dict[str, Any]:
    layer.attune(L)
    u = torch.randn(1, L, layer.d_model)
    running = layer.recurrence()
    _, state = running.prefill(u, running.initial_state(1))
    began = perf_counter()
    for k in range(count):
        _, state = running.step(u[:, k % L], state)
    step = (perf_counter() - began) / count
    layer(u)
    began = perf_counter()
    for _ in range(3):
        layer(u)
    whole = (perf_counter() - began) / 3
    return {
        "layer": name,
        "d_model": layer.d_model,
        "length": L,
        "steps_per_s": round(1 / step),
        "recomputed_per_s": round(1 / whole, 1),
        "ratio": round(whole / step),
    }


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    """With what they were measured on."""
    where = where_measured(torch.device("cpu"))
    write_whole(path, as_csv([row | {key: where[key] for key in PLACE} for row in rows]))


def growth_exponents(rows: list[dict[str, Any]], length: int, d_state: int) -> dict[str, float]:
    """Exponents of seconds and memory from the smallest length to the largest, and the same of the state size."""
    exponents = {}
    for axis, chosen in (("length", _along(rows, "length", d_state)), ("d_state", _along(rows, "d_state", length))):
        (low, *a), (high, *b) = chosen[0], chosen[-1]
        for what, least, most in zip(("time", "memory"), a, b, strict=True):
            growth = max(most, _LEAST) / max(least, _LEAST)
            exponents[f"{what} in {axis}"] = round(log2(growth) / log2(high / low), 2)
    return exponents


def _along(rows: list[dict[str, Any]], axis: str, fixed: int) -> list[tuple[int, float, float]]:
    """(value, seconds, MiB) along one axis, where the other has its fixed value."""
    other = "d_state" if axis == "length" else "length"
    return sorted((row[axis], row["seconds"], row["extra_mib"]) for row in rows if row[other] == fixed)


def _draw(path: Path, rows: list[dict[str, Any]], length: int, d_state: int) -> None:
    with picture(path, 9, 6) as figure:
        panels = figure.subplots(2, 2, sharex="col", sharey="row")
        for (above, below), axis, fixed in zip(panels.T, ("length", "d_state"), (d_state, length), strict=True):
            for name in dict.fromkeys(row["layer"] for row in rows):
                points = _along([row for row in rows if row["layer"] == name], axis, fixed)
                sizes, seconds, mib = zip(*points, strict=True)
                above.loglog(sizes, seconds, "o-", color=_COLOURS.get(name), label=name)
                below.loglog(sizes, [max(each, _LEAST_DRAWN_MIB) for each in mib], "o-", color=_COLOURS.get(name))
            above.set_title(f"state size N = {fixed}" if axis == "length" else f"length L = {fixed}")
            below.set_xlabel("length L, steps" if axis == "length" else "state size N")
            below.set_xscale("log", base=2)
        panels[0, 0].set_ylabel("forward and backward, s")
        panels[1, 0].set_ylabel("peak memory, MiB")
        panels[0, 0].legend()
