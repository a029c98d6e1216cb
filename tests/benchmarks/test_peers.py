"""Ours beside a peer: steps taken in turn, one row for each experiment and device, mistakes in one line."""

import csv
import os
import sys
from types import SimpleNamespace

import pytest

from longrange.benchmarks.peers import COLUMNS, KEY, OURS, _turn, figures, peers, steps_in_turn
from longrange.cli import compose
from longrange.csv_files import keep_rows
from longrange.errors import ConfigError
from longrange.peers.process import worker
from tests.paths import ROOT

STUB = [sys.executable, str(ROOT / "tests" / "stub_worker.py")]
SMALL = ["data=listops_short", "model=s4", "optimizer=s4", "model.n_layers=2", "model.d_model=8", "trainer=cpu"]
OPTIONS = {"s5": None, "s4": None, "python": None, "warmup": 1, "rounds": 2, "cpu_batch": {"listops_short": 3}}

# What the worker takes from models/s4/s4.py, with the arguments that it gives.
CHECKOUT = """
import torch
has_cuda_extension, has_pykeops = False, True
DropoutNd = torch.nn.Dropout1d
class S4Block(torch.nn.Linear):
    def __init__(self, d_model, *, d_state, l_max, final_act, init, mode, transposed, dropout, tie_dropout, **options):
        assert (d_state, final_act, init, mode, tie_dropout) == (64, "glu", "legs", "dplr", True), options
        super().__init__(d_model, d_model)
    def forward(self, x, lengths):
        assert x.shape[2] == lengths.max()
        return super().forward(x.mT).mT, None
"""


def rows_of(folder):
    with (folder / "rows.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def checkout(tmp_path):
    source = tmp_path / "checkout" / "models" / "s4" / "s4.py"
    source.parent.mkdir(parents=True)
    source.write_text(CHECKOUT)
    return tmp_path / "checkout"


@pytest.fixture(autouse=True)
def short_turns(monkeypatch):
    """The stub's steps take no time: one of them is a turn."""
    monkeypatch.setattr("longrange.benchmarks.peers._TURN", 0.0)


def test_a_turn_of_short_steps_is_their_median(monkeypatch):
    monkeypatch.setattr("longrange.benchmarks.peers._TURN", 1.0)
    seconds = [0.5, 0.3, 0.4, 0.9]
    process = SimpleNamespace(ask=lambda _: {"step_s": seconds.pop(0), "peak_memory_bytes": len(seconds)})
    assert _turn(process) == {"step_s": 0.4, "peak_memory_bytes": 1}


def test_steps_are_taken_in_turn_and_the_first_rounds_do_not_count(tmp_path, capsys):
    with worker("ours", STUB, os.environ, "") as ours, worker("theirs", STUB, os.environ, "") as theirs:
        for name, each in {"a": ours, "b": theirs}.items():
            each.ask({"log": str(tmp_path / "log"), "name": name})
        taken = steps_in_turn(ours, theirs, warmup=1, rounds=3)
    assert (tmp_path / "log").read_text() == "ab" * 5
    assert [len(answers) for answers in taken] == [2, 2, 2]
    assert [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()] == [
        "warm-up",
        *(f"round {number} of 3" for number in (1, 2, 3)),
    ]


def test_medians_and_the_last_peaks_count():
    ours = [{"step_s": s, "peak_memory_bytes": m} for s, m in [(0.1, 5), (0.9, 6), (0.2, 7)]]
    theirs = [{"step_s": s, "peak_memory_bytes": m} for s, m in [(0.6, 8), (0.5, 9), (0.1, 9)]]
    report = figures([list(pair) for pair in zip(ours, theirs, strict=True)], batch_size=4)
    assert (report["ratio"], report["ours_s"], report["peer_s"]) == (2.5, 0.2, 0.5)
    assert (report["ours_samples_per_s"], report["peer_samples_per_s"]) == (20, 8)
    assert (report["ours_peak_memory_bytes"], report["peer_peak_memory_bytes"]) == (7, 9)


@pytest.mark.parametrize("ours", [STUB, pytest.param(OURS, marks=pytest.mark.slow)], ids=["stub", "ours"])
def test_a_step_of_ours_beside_one_of_a_checkout(ours, tmp_path, checkout, capsys, monkeypatch):
    monkeypatch.setattr("longrange.benchmarks.peers.OURS", ours)
    cfg = compose("benchmark", [*SMALL, "data.batch_size=5"])
    row = peers(cfg, **OPTIONS | {"s4": str(checkout)}, folder=str(tmp_path))
    assert (row["experiment"], row["batch_size"], row["length"]) == ("listops_short/s4", 3, 64)
    assert row["peer_samples_per_s"] == pytest.approx(3 / row["peer_s"], rel=0.1)
    assert row["peer_peak_memory_bytes"] > 2**26
    assert row["ours_parameters"] == (3 if ours is STUB else 3034)
    blocks, table, final_norm, head = 2 * (8 * 8 + 8 + 2 * 8), 18 * 8, 2 * 8, 8 * 10 + 10
    assert row["peer_parameters"] == blocks + table + final_norm + head
    assert (row["peer"], row["peer_commit"]) == ("state-spaces/s4", "unknown")
    assert row["peer_versions"].endswith(", pykeops")
    assert rows_of(tmp_path) == [{name: str(row[name]) for name in COLUMNS}]
    assert capsys.readouterr().err.splitlines()[-1].startswith("round 2 of 2: ours ")


def test_a_checkout_of_another_kind_is_named(tmp_path, checkout):
    (checkout / "models" / "s4" / "s4.py").write_text("")
    with pytest.raises(ConfigError, match=rf"ImportError: cannot import name 'S4Block' .*benchmark\.s4={checkout} "):
        peers(compose("benchmark", SMALL), **OPTIONS | {"s4": str(checkout)}, folder=str(tmp_path))
    assert not (tmp_path / "rows.csv").exists()


@pytest.mark.parametrize(
    ("overrides", "options", "words"),
    [
        ([], {"rounds": 0}, r"benchmark\.rounds=0"),
        ([], {}, r"benchmark\.s4 has no value"),
        (["trainer.precision=bf16-mixed"], {}, r"trainer\.precision=bf16-mixed: the peers know 32-true"),
        (["trainer.precision=tf32"], {}, r"trainer\.precision=tf32: the peers know 32-true and, on a GPU, tf32"),
        (["trainer.accelerator=auto"], {}, r"trainer\.accelerator=auto: choose trainer=cpu or trainer=gpu"),
    ],
)
def test_mistakes_are_named_before_anything_runs(tmp_path, overrides, options, words):
    with pytest.raises(ConfigError, match=words):
        peers(compose("benchmark", [*SMALL, *overrides]), **OPTIONS | options, folder=str(tmp_path))


def test_a_measurement_replaces_the_row_of_its_experiment_on_its_device(tmp_path):
    row = dict.fromkeys(COLUMNS, "1")
    for device, ratio in [("cpu", 5), ("gpu", 6), ("cpu", 7)]:
        keep_rows(tmp_path / "rows.csv", [row | {"device": device, "ratio": ratio}], KEY)
    assert [(kept["device"], kept["ratio"]) for kept in rows_of(tmp_path)] == [("cpu", "7"), ("gpu", "6")]
