"""A visit to a machine: what fails, what is out of time, what the next visit does; with stubs of the commands."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from longrange.cli import compose
from longrange.errors import ConfigError, DataError
from longrange.orchestration import errands
from longrange.orchestration.visit import visit
from tests.paths import ROOT

BENCHMARK = """
import sys
from pathlib import Path
given = dict(text.split("=", 1) for text in sys.argv[1:])
if given["experiment"] == "text/s5":
    sys.exit("error: out of memory")
folder = Path(given["benchmark.folder"])
folder.mkdir(parents=True, exist_ok=True)
with (folder / "done").open("a") as file:
    print(*sys.argv[1:], file=file)
"""
# Stops at SIGTERM in its first life and ends in its second.
TRAIN = """
import signal, sys, time
from pathlib import Path
sys.path.insert(0, {source!r})
from longrange.results.run_folder import run_folder
outputs = next(text for text in sys.argv if text.startswith("paths.outputs=")).partition("=")[2]
overrides = [text for text in sys.argv[1:] if not text.startswith("resume=")]
first = run_folder(Path(outputs), "listops", "s5", 0, overrides, latest=False)
last = run_folder(Path(outputs), "listops", "s5", 0, overrides, latest=True) if first.suffix else first
checkpoint = last / "checkpoints" / "last.ckpt"
if not checkpoint.exists():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("half")
    print("waiting")
    time.sleep(60)
(last / "result.json").write_text(checkpoint.read_text())
"""
ADD_RESULT = """
import sys
with open(sys.argv[2], "a") as table:
    print("row of", open(sys.argv[1]).read(), file=table)
"""
TESTS = "import pytest\n\n@pytest.mark.gpu\ndef test_it():\n    pass\n\ndef test_other():\n    assert False\n"
SMALL = [
    "profile.experiments=[listops/s5,text/s5]",
    "profile.precisions=[32-true]",
    "peers.experiments.s5=[listops/s5]",
]


@pytest.fixture
def repository(tmp_path):
    """With stubs of the scripts, a test and a table of earlier measurements."""
    scripts = {"benchmark": BENCHMARK, "train": TRAIN.format(source=str(ROOT / "src")), "add_result": ADD_RESULT}
    files = {f"scripts/{name}.py": text for name, text in scripts.items()}
    files |= {"tests/test_it.py": TESTS, "tests/pytest.ini": "[pytest]\nmarkers = gpu", "results/profile/old": ""}
    for name, text in files.items():
        path = tmp_path / "repository" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "repository"


def come(repository, outputs, *overrides):
    """A visit: its exit code, and the state of each errand in its report."""
    given = ["experiment=listops/s5", "trainer=gpu", f"paths.outputs={outputs}", *overrides]
    cfg = compose("measure", given)
    cfg.name.overrides = given  # as a command line leaves them, which a composition in a test does not see
    code = visit(cfg, repository, os.environ)
    report = json.loads((Path(cfg.out) / "visit.json").read_text())
    return code, {each["label"]: (each["state"], each["why"]) for each in report["outcomes"]}


def test_a_failure_stops_nothing_and_the_next_visit_goes_on(repository, tmp_path, capsys):
    here, there = tmp_path / "here", tmp_path / "there"
    code, states = come(repository, here, *SMALL, "peers.s5=checkout", "grace_s=50", "parts.training=53")
    assert code == 1
    assert states == {
        "tests": ("passed", ""),
        "profile listops/s5 32-true": ("passed", ""),
        "profile text/s5 32-true": ("failed", "out of memory"),
        "processes pathx/s5": ("passed", ""),
        "peers listops/s5": ("passed", ""),
        "peers s4": ("not run", "no peers.s4=<checkout> is given"),
        "training listops/s5, seed 0": ("stopped", "its time was up"),
        "row of the training": ("not run", "it has not finished"),
    }
    assert "4 passed, 1 failed, 1 stopped, 2 not run" in capsys.readouterr().out
    assert {path.name for path in (here / "visit").iterdir()} == {"visit.json", "last.ckpt", "measured.tar.gz"}
    log = (here / "measure/results/profile/done").read_text()
    assert "benchmark=profile experiment=listops/s5 trainer=gpu" in log
    assert "trainer.precision=32-true benchmark.loader=false" in log
    assert "benchmark.s5=checkout" in (here / "measure/results/peers/done").read_text()

    code, states = come(repository, there, *SMALL, f"carried={here / 'visit'}")
    assert code == 1
    assert states["training listops/s5, seed 0"] == states["row of the training"] == ("passed", "")
    assert "tests: passed before" in (printed := capsys.readouterr().out)
    assert f"training listops/s5, seed 0: goes on from {here / 'visit'}" in printed
    assert (there / "measure/results/profile/done").read_text() == log
    assert (there / "measure/results/profile/old").exists()
    assert (there / "measure/results/runs.csv").read_text() == "row of half\n"
    assert (there / "visit/run.json").read_text() == "half"


def test_no_other_visit_unpacks_at_the_same_time(repository, tmp_path, monkeypatch):
    def unpack(carried, run):
        with pytest.raises(Timeout):
            FileLock(tmp_path / "out/measure.lock").acquire(timeout=0)
        return False

    monkeypatch.setattr("longrange.orchestration.visit.unpack_run", unpack)
    come(repository, tmp_path / "out", *SMALL, "only=[processes]")


def test_chosen_parts_alone(repository, tmp_path):
    code, states = come(repository, tmp_path / "out", *SMALL, "only=[processes]")
    assert (code, states) == (0, {"processes pathx/s5": ("passed", "")})


def test_what_is_out_of_time_is_for_the_next_visit(repository, tmp_path):
    code, states = come(repository, tmp_path / "out", "only=[processes,tests]", "parts.tests=0")
    assert (code, states["tests"]) == (75, ("not run", "no time was left"))
    code, states = come(repository, tmp_path / "out", "only=[processes,tests]")
    assert (code, states["tests"]) == (0, ("passed", ""))


def test_after_an_interrupt_nothing_more_is_begun(repository, tmp_path):
    def interrupt():
        log = tmp_path / "out/measure/logs/training-listops-s5-seed-0.log"
        while not (log.exists() and "waiting" in log.read_text()):
            threading.Event().wait(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=interrupt, daemon=True)
    sender.start()
    code, states = come(repository, tmp_path / "out", "only=[training]")
    sender.join()
    assert code == 130
    assert list(states.values()) == [("interrupted", ""), ("not run", "interrupted before it")]
    assert (tmp_path / "out/visit/last.ckpt").exists()


def test_large_files_are_left_and_named(repository, tmp_path):
    come(repository, tmp_path / "out", "only=[processes]", "most_mib=0.0001")
    report = json.loads((tmp_path / "out/visit/visit.json").read_text())
    assert not (tmp_path / "out/visit/measured.tar.gz").exists()
    assert report["left"] == [f"{tmp_path}/out/measure/measured.tar.gz: more than 0 MiB, left where it is"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["only=[trainnig]"], r"only=\[trainnig\]: no such part; nearest: training"),
        (["budget_s=60"], r"budget_s=60, grace_s=60"),
        (["epochs=3"], "changes the published setting"),
    ],
)
def test_mistakes_are_refused_before_anything_runs(repository, tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        come(repository, tmp_path / "out", *overrides)
    assert not (tmp_path / "out").exists()


def test_no_key_of_the_visit_is_taken_for_one_of_the_training():
    visits = compose("measure", ["experiment=listops/s5"]).keys() - compose("train", []).keys() - {"budget"}
    assert visits == errands._OWN


def test_a_training_is_asked_for(repository):
    with pytest.raises(ConfigError, match="say what to train"):
        visit(compose("measure"), repository, os.environ)


def test_a_damaged_report_is_one_line(repository, tmp_path):
    (tmp_path / "visit.json").write_text('{"outcomes": [{"name"')
    with pytest.raises(DataError, match=r"visit\.json: not the report of a visit"):
        come(repository, tmp_path / "out", f"carried={tmp_path}")


@pytest.mark.slow
def test_the_real_commands_in_small(tmp_path):
    """On a CPU: the GPU tests are passed over, everything else is computed."""
    options = ["profile.experiments=[listops/s5]", "profile.precisions=[32-true]"]
    command = [sys.executable, ROOT / "scripts/measure.py", "experiment=listops/s5", "trainer=cpu", "budget=smoke"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed, 3 not run" in done.stdout
    results = tmp_path / "outputs/smoke/measure/results"
    assert (results / "profile/listops-s5.json").exists()
    assert (results / "processes/rows.csv").exists()
    assert len(list((tmp_path / "outputs/smoke/visit").iterdir())) <= 8
