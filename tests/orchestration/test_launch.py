"""Trainings in processes of their own: failures, interrupts, several commands at once. The training is a script."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from itertools import product

import pytest
from rich.console import Console

from longrange.orchestration.jobs import Job
from longrange.orchestration.launch import Workplace, duration, one_by_one, print_attempts, sweeps, together
from longrange.results.run_folder import run_folder
from tests.paths import ROOT

# Leaves a record, or fails in one of several ways, by its seed.
SCRIPT = """
import os, signal, sys, time
from itertools import product
from pathlib import Path
sys.path.insert(0, {source!r})
from longrange.results.run_folder import run_folder
given = [text for text in sys.argv[1:] if text != "-m"]
values = [[f"{{key}}={{value}}" for value in values.split(",")] for key, _, values in (t.partition("=") for t in given)]
for overrides in map(list, product(*values)):
    own = [text for text in overrides if not text.startswith("launcher")]
    seed = int(next(text for text in own if text.startswith("seed=")).partition("=")[2])
    folder = run_folder(Path({outputs!r}), "task", "model", seed, own, latest="resume=auto" in own)
    folder.joinpath("checkpoints").mkdir(parents=True, exist_ok=True)
    print("training", *overrides)
    if seed == 11:
        print(f"error: job 0 ({{' '.join(overrides)}}): it diverged" if "-m" in sys.argv else "error: it diverged")
        if "-m" not in sys.argv:
            sys.exit(2)
        continue
    if seed == 12:
        raise ValueError("a bug")
    if seed == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == 14 and "resume=auto" not in own:
        folder.joinpath("checkpoints/last.ckpt").touch()
        print("waiting")
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            print("saved")
            sys.exit(130)
    folder.joinpath("result.json").touch()
"""


@pytest.fixture
def place(tmp_path):
    script = tmp_path / "train.py"
    source = str(ROOT / "src")
    script.write_text(SCRIPT.format(source=source, outputs=str(tmp_path / "outputs")))
    return Workplace(script, tmp_path / "outputs", tmp_path / "logs", os.environ)


@pytest.fixture
def console():
    return Console(width=200)


def job(seed, experiment="listops/s5", *further):
    return Job(experiment, None, seed, further)


def states(attempts):
    return [(attempt.job.seed, attempt.state) for attempt in attempts]


def test_a_failure_stops_no_other_and_gives_its_reason(place, console, capsys):
    place = replace(place, logs=place.logs / "runs [old]")
    attempts = one_by_one([job(11), job(12), job(13), job(0)], place, 0.0, console)
    assert states(attempts) == [(11, "failed"), (12, "failed"), (13, "failed"), (0, "done")]
    assert [attempt.reason for attempt in attempts] == [
        "it diverged",
        "ValueError: a bug",
        "killed by SIGKILL, perhaps for want of memory",
        "",
    ]
    assert "training experiment=listops/s5 seed=12" in attempts[1].log.read_text()
    assert f"4/4  listops/s5, seed 0; log: {attempts[3].log}\n" in capsys.readouterr().out
    print_attempts(attempts, console)
    assert capsys.readouterr().out.splitlines()[-1] == "1 done, 3 failed"


def interrupt_when_waiting(place, number):
    """Send this process a signal once the training says that it waits."""
    for _ in range(1000):
        if any("waiting" in file.read_text() for file in place.logs.glob("*.log")):
            return os.kill(os.getpid(), number)
        threading.Event().wait(0.02)


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["foreground", "background"])
def ctrl_c(request):
    """As a shell starts programs: in the background they ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_training_in_its_own_time_and_the_rest_is_not_started(place, console, number):
    sender = threading.Thread(target=interrupt_when_waiting, args=(place, number))
    sender.start()
    attempts = one_by_one([job(0), job(14), job(1)], place, 0.0, console)
    sender.join()
    assert states(attempts) == [(0, "done"), (14, "interrupted"), (1, "not started")]
    assert attempts[1].log.read_text().endswith("saved\n")
    again = one_by_one([job(14), job(1)], place, 0.0, console)
    assert states(again) == [(14, "done"), (1, "done")]
    assert "seed=14 resume=auto" in again[0].log.read_text()


def test_what_another_command_trains_or_has_trained_is_left_to_it(place, console):
    holder = (
        "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); "
        "print('locked', flush=True); sys.stdin.read()"
    )
    place.logs.mkdir()
    lock = place.logs / ".listops-s5-s0.lock"
    with subprocess.Popen(
        [sys.executable, "-c", holder, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        other.stdout.readline()
        finished = run_folder(place.outputs, "task", "model", 1, job(1).overrides, latest=False)
        finished.mkdir(parents=True)
        (finished / "result.json").touch()
        attempts = one_by_one([job(0), job(1), job(2)], place, 0.0, console)
        other.stdin.close()
    assert states(attempts) == [(0, "elsewhere"), (1, "elsewhere"), (2, "done")]


def test_jobs_are_grouped_into_full_grids(tmp_path):
    grid = [job(seed, name) for seed, name in product((0, 1), ("listops/s5", "text/s5"))]
    others = [job(1, "image/s5"), job(0, "text/s4", "data.protocol=paper")]
    groups = sweeps([*grid, *others], tmp_path)
    assert sorted(len(group) for group in groups) == [1, 1, 4]
    assert {each for group in groups for each in group} == {*grid, *others}


def test_a_launcher_gets_whole_sweeps_and_each_job_has_its_state(place, console, capsys):
    attempts = together(
        [job(0), job(1), job(11), job(2, "text/s5")], place, 0.0, ["launcher=joblib", "launcher.jobs=3"], console
    )
    assert sorted(states(attempts)) == [(0, "done"), (1, "done"), (2, "done"), (11, "failed")]
    (failed,) = [attempt for attempt in attempts if attempt.state == "failed"]
    assert failed.reason.endswith("it diverged")
    commands = [line for file in place.logs.glob("sweep-*.log") for line in file.read_text().splitlines()]
    assert sum("-m experiment=listops/s5 seed=0,1,11 launcher=joblib launcher.jobs=3" in line for line in commands) == 1
    assert "training experiment=text/s5 seed=2 launcher=joblib launcher.jobs=3" in capsys.readouterr().out


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (600, "10 min"), (7200, "2.0 h")])
def test_durations_are_for_people(seconds, text):
    assert duration(seconds) == text
