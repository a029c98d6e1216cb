"""Commands in processes of their own that overstay their time; interrupts are tested where trainings are started."""

import os
import signal
import sys
from time import monotonic

import pytest

from longrange.orchestration.commands import reason, watched

ASKED = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("saved"), sys.exit(75)))
print("waiting")
time.sleep(60)
"""
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
time.sleep(60)
"""


@pytest.fixture
def run(tmp_path):
    """The exit code and the lines of a program with a time limit."""

    def call(program, limit_s, grace_s):
        seen = []
        found = watched([sys.executable, "-c", program], tmp_path / "log", os.environ, seen.append, limit_s, grace_s)
        assert (tmp_path / "log").read_text().endswith("".join(seen))
        return found

    return call


def test_a_command_is_asked_to_end_before_it_is_killed(run):
    assert run(ASKED, limit_s=30, grace_s=28) == (75, ["waiting\n", "saved\n"])


def test_one_that_does_not_end_is_killed_with_all_it_has_started(run):
    began = monotonic()
    code, _ = run(STUBBORN, limit_s=3, grace_s=1)
    assert code == -signal.SIGKILL
    assert monotonic() - began < 30, "what it has started keeps its output open"


def test_one_that_is_in_time_is_left_alone(run):
    assert run("print('done')", limit_s=60, grace_s=0) == (0, ["done\n"])


@pytest.mark.parametrize(
    ("code", "lines", "why"),
    [
        (2, ["error: no such key\n", "later\n"], "no such key"),
        (1, ["Traceback\n", "ValueError: a bug\n", "\n"], "ValueError: a bug"),
        (-9, ["epoch 3\n"], "killed by SIGKILL, perhaps for want of memory"),
        (3, [], "exit code 3"),
    ],
)
def test_reasons_are_one_line(code, lines, why):
    assert reason(code, lines) == why
