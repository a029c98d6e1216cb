"""Where the time of a step goes: every part is there, the parts add up, and floors are what the work says."""

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from longrange import kernels
from longrange.benchmarks import profile_report
from longrange.benchmarks.profile import measured_times, profile, table
from longrange.benchmarks.profile_clock import TimedWatch
from longrange.benchmarks.profile_floor import Ledger, Limits, Memory, Work
from longrange.benchmarks.profile_limits import bandwidth, matrix_rate
from longrange.benchmarks.profile_step import ProfiledStep
from longrange.benchmarks.profile_watch import REST, role, watched
from longrange.cli import compose
from longrange.errors import ConfigError
from longrange.kernels import tiles
from tests.backends import running
from tests.paths import ROOT

SMALL = [
    *("data=listops_short", "data.batch_size=4", "model.n_layers=2", "model.d_model=16", "model.block.dropout=0.1"),
    "trainer.gradient_clip_val=1.0",
]
SIZES = ["data.recipe.train=64", "data.recipe.val=8", "data.recipe.test=8"]
LIMITS = Limits({torch.float32: 1e9}, bandwidth=1e9)
DIRECTIONS = "forward", "backward"
OUTSIDE = {REST, "loss", "optimizer", "scheduler", "clipping"}
EVERY_MODEL = {"encoder", "norm", "activation: dropout", "pool", "head: linear", "layer"}
PARTS = {
    "s5": {"layer: mimo scan", "activation: half glu"},
    "s5 in parts": {
        "layer: linear",
        "layer: diagonal scan",
        "activation: linear",
        "activation: gelu fork",
        "activation: gated",
    },
    "s4": {
        "layer: kernel",
        "layer: dplr kernel",
        "layer: two sided convolution",
        "activation: mixed glu",
    },
    "s4d": {
        "layer: kernel",
        "layer: vandermonde",
        "layer: two sided convolution",
        "activation: mixed glu",
    },
    "s4 in parts": {"layer: dplr kernel", "activation: gelu fork", "activation: linear", "activation: glu"},
    "lssl": {"layer: kernel", "layer: causal convolution", "activation: gelu fork", "activation: linear"},
}
RULES = {"s5": "s5_standard", "s4": "s4", "s4d": "s4", "lssl": "lssl"}


@pytest.fixture(autouse=True)
def amd(request, monkeypatch):
    """An activation is one kernel, whatever this machine is, unless it is to be seen in parts."""
    monkeypatch.setattr(tiles, "is_amd", lambda: "in parts" not in request.node.name)


def small(model: str) -> list[str]:
    name = model.partition(" ")[0]
    sizes = ["model.layer.d_state=16"]
    if model == "s5 in parts":  # no whole registers of states, which the one kernel would want
        sizes = ["model.layer.d_state=20", "model.layer.n_blocks=1"]
    return [*SMALL, f"model={name}", f"optimizer={RULES[name]}", *sizes]


def times_of(step: ProfiledStep) -> dict:
    watch = TimedWatch(step.fabric.device)
    step.run(watch)
    return watch.seconds()


@pytest.mark.parametrize("model", PARTS)
def test_every_part_of_a_step_has_its_time_forward_and_backward(model):
    times = times_of(ProfiledStep(compose("benchmark", small(model)), loader=False))
    assert {part for part, _ in times} >= EVERY_MODEL | OUTSIDE | PARTS[model]
    assert all(seconds > 0 for seconds in times.values())
    backward = {part for part, direction in times if direction == "backward"}
    assert backward >= PARTS[model] | {"encoder", "head: linear", "loss"}
    assert not backward & (OUTSIDE - {"loss"})


@pytest.mark.parametrize("model", PARTS)
def test_floors_are_positive_where_there_is_work(model):
    step = ProfiledStep(compose("benchmark", small(model)), loader=False)
    work = step.work(LIMITS)
    for part in PARTS[model] | {"encoder", "head: linear", "loss"}:
        for direction in ("forward", "backward"):
            assert work[part, direction].bytes > 0
            assert work[part, direction].seconds >= work[part, direction].memory_seconds > 0
    parameters = sum(p.numel() for p in step.inner.parameters())
    moments = 2 * parameters + len(list(step.inner.parameters()))  # and Adam's count of each tensor's steps
    assert work["optimizer", "forward"].bytes == 4 * (3 * parameters + 2 * moments)
    assert work["clipping", "forward"].bytes == 4 * 2 * parameters


def test_the_report_adds_up_and_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("longrange.benchmarks.profile.measured_limits", lambda step: LIMITS)
    report = profile(compose("benchmark", SMALL), warmup=0, steps=2, loader=False, folder=str(tmp_path))
    whole = json.loads((tmp_path / "listops_short-s5.json").read_text())
    parts = whole["parts"]
    assert sum(row["forward_s"] + row["backward_s"] for row in parts) == pytest.approx(report["step_s"], rel=1e-3)
    floors = sum(row["forward_floor_s"] + row["backward_floor_s"] for row in parts)
    assert floors == pytest.approx(report["floor_s"], rel=1e-5)  # each has six digits
    assert sum(row["share"] for row in parts) == pytest.approx(1, rel=1e-3)
    gaps = [row["gap_s"] for row in parts]
    assert gaps == sorted(gaps, reverse=True)
    assert report["parts"] == str(tmp_path / "listops_short-s5.json")
    assert [row["part"] for row in csv.DictReader((tmp_path / "listops_short-s5.csv").open())] == [
        r["part"] for r in parts
    ]
    assert (tmp_path / "listops_short-s5.png").read_bytes().startswith(b"\x89PNG")
    shown = capsys.readouterr().err
    assert all(row["part"] in shown for row in parts)
    assert "GFLOP/s" in shown


def test_steps_are_checked(tmp_path):
    with pytest.raises(ConfigError, match=r"benchmark\.steps=0"):
        profile(compose("benchmark", SMALL), warmup=0, steps=0, loader=False, folder=str(tmp_path))


class Double(nn.Module):
    """A projection whose result is gone over once more, in place of a model."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 5, bias=False)

    def forward(self, x):
        return self.head(x) * 2.0


def test_the_work_of_a_linear_map_is_known_to_the_byte():
    model, ledger = Double(), Ledger()
    x = torch.randn(7, 3, requires_grad=True)
    with ledger.counting(), watched(model, ledger):
        loss = ledger.run("loss", torch.sum, model(x))
        ledger.follow(loss)
        loss.backward()
    work = ledger.work(Limits({torch.float32: 1000.0}, bandwidth=100.0))
    forward, backward = work["head", "forward"], work["head", "backward"]
    assert forward.operations == 2 * 7 * 3 * 5
    assert backward.operations == 2 * forward.operations
    assert forward.bytes == 4 * (7 * 3 + 5 * 3 + 7 * 5)
    assert backward.bytes == 4 * (7 * 5 + 2 * (7 * 3 + 5 * 3))  # its gradient, both factors and their gradients
    assert forward.seconds == max(210 / 1000, forward.bytes / 100)
    outer = work["model", "forward"]  # reads the product, writes twice of it
    assert (outer.operations, outer.bytes) == (0, 4 * 2 * 7 * 5)


def test_a_tensor_that_is_handed_on_or_returned_as_it_is_costs_nothing():
    model, ledger = nn.Sequential(nn.Identity(), nn.Identity()), Ledger()
    with watched(model, ledger):
        model(torch.randn(5))
    assert {work.bytes for work in ledger.work(Limits({torch.float32: 1.0}, 1.0)).values()} == {0}


def test_memory_tells_tensors_apart_by_where_they_lie():
    x = torch.zeros(8)
    memory = Memory([x[:4], x[2:4], x.view(2, 4)])
    assert memory.bytes() == 32
    assert x[5:] in memory
    assert x.clone() not in memory
    assert Memory([torch.zeros(1).expand(100)]).bytes() == 4


def test_complex_products_count_four_times():
    ledger = Ledger()
    with ledger.counting():
        a = torch.randn(2, 3, dtype=torch.complex64)
        ledger.run("product", torch.mm, a, a.T.contiguous())
    assert ledger.work(Limits({torch.float32: 1.0}, 1.0))["product", "forward"].operations == 4 * 2 * 2 * 3 * 2


def test_products_within_a_kernel_count_as_those_of_torch_do():
    works = []
    for backend in ("cpu", "reference"):  # one kernel, and products that torch makes
        with running("auto"):
            cfg = compose("benchmark", [*small("s5"), f"backend={backend}"])
            work = ProfiledStep(cfg, loader=False).work(LIMITS)
        works.append([work["layer: mimo scan" if backend == "cpu" else "layer: linear", d] for d in DIRECTIONS])
    assert [w.operations for w in works[0]] == [w.operations for w in works[1]]
    assert works[0][1].operations == 2 * works[0][0].operations > 0


def test_nothing_stays_watched():
    step = ProfiledStep(compose("benchmark", SMALL), loader=False)
    before = kernels.gelu, step.inner.pool
    step.run(TimedWatch(step.fabric.device))
    assert (kernels.gelu, step.inner.pool) == before
    assert "forward" not in vars(step.inner.encoder)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("", "model"),
        ("encoder.map", "encoder"),
        ("blocks.3", "blocks"),
        ("blocks.3.layer.length", "layer"),
        ("final_norm", "final norm"),
    ],
)
def test_all_blocks_share_the_names_of_their_parts(path, name):
    assert role(path) == name


def test_the_limits_are_rates():
    cpu = torch.device("cpu")
    assert matrix_rate(torch.float32, cpu, [(64, 64, 64)]) > 1e6
    assert bandwidth(cpu, 2**20) > 1e6


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_is_timed_by_its_own_clock():
    step = ProfiledStep(compose("benchmark", [*SMALL, "trainer=gpu", "trainer.precision=32-true"]), loader=False)
    step.run(TimedWatch(step.fabric.device))
    times = times_of(step)
    assert times["layer: diagonal scan", "backward"] > 0


@pytest.mark.slow
def test_the_script_profiles_with_the_tasks_own_loader(tmp_path):
    options = ["benchmark=profile", "benchmark.steps=1", f"benchmark.folder={tmp_path}", f"paths.data={tmp_path}"]
    command = [sys.executable, ROOT / "scripts" / "benchmark.py", *SMALL, *options, *SIZES]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "140"})
    assert "loader" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["step_s"] > 0


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ({}, "listops-s5"),
        ({"precision": "bf16-mixed"}, "listops-s5-bf16-mixed"),
        ({"precision": "tf32", "device": "NVIDIA H200"}, "listops-s5-tf32-nvidia-h200"),
        ({"experiment": None}, "text-s4"),
    ],
)
def test_a_profile_of_another_device_has_a_file_of_its_own(other, name):
    summary = {"experiment": "listops/s5", "task": "text", "model": "s4", "precision": "32-true", "device": "cpu"}
    assert profile_report._name(summary | other) == name


def test_the_middle_half_of_the_watched_steps_counts(monkeypatch):
    """Of steps of 9, 1, 2 and 4 s those of 2 and 4."""
    seconds = iter([9.0, 1.0, 2.0, 4.0])
    watch = SimpleNamespace(seconds=lambda: Counter({(REST, "forward"): next(seconds)}))
    monkeypatch.setattr("longrange.benchmarks.profile.TimedWatch", lambda device: watch)
    step = SimpleNamespace(fabric=SimpleNamespace(device=torch.device("cpu")), run=lambda watch: None)
    assert measured_times(step, 4)[0] == {(REST, "forward"): 3.0}


def test_a_row_holds_gap_and_share_and_what_bounds_the_part():
    times = Counter({("a", "forward"): 1.0, ("a", "backward"): 3.0, ("b", "forward"): 2.0, ("c", "forward"): 2.0})
    matrix = Work(operations=2 * 10**9, bytes=2**20, seconds=0.5, matrix_seconds=0.5, memory_seconds=0.1)
    memory = Work(operations=0, bytes=3 * 2**20, seconds=1.0, matrix_seconds=0.0, memory_seconds=1.0)
    work = {("a", "forward"): matrix, ("a", "backward"): matrix, ("b", "forward"): memory}
    a, c, b = table(times, work)
    assert (a.part, a.share, a.gap_s, a.reached, a.bound, a.gflop, a.mib) == ("a", 0.5, 3.0, 0.25, "matrix", 4.0, 2.0)
    assert (b.part, b.share, b.gap_s, b.reached, b.bound, b.gflop, b.mib) == ("b", 0.25, 1.0, 0.5, "memory", 0.0, 3.0)
    assert (c.part, c.gap_s, c.reached, c.bound) == ("c", 2.0, 0.0, "")


def test_a_rate_counts_products_with_their_sums_and_bytes_read_and_written(monkeypatch):
    seconds = iter([0.5, 0.25, 0.1, 10.0, 10.0, 0.1])
    monkeypatch.setattr("longrange.benchmarks.profile_limits._least", lambda function, device: next(seconds))
    cpu = torch.device("cpu")
    assert matrix_rate(torch.float32, cpu, [(3, 5, 7)]) == 2 * 3 * 5 * 7 / 0.25
    assert bandwidth(cpu, 400) == pytest.approx(2 * 400 / 0.1)  # of the copy
    assert bandwidth(cpu, 400) == pytest.approx(3 * 400 / 0.1)  # of the triad
