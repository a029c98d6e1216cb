"""Workers answer line by line, say why they died, and never outlive who started them."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from longrange.errors import ConfigError
from longrange.peers.process import worker
from tests.paths import ROOT

STUB = [sys.executable, str(ROOT / "tests" / "stub_worker.py")]


@pytest.fixture
def stub():
    with worker("stub", STUB, os.environ, "mend it") as started:
        yield started


def order(tmp_path, **further):
    return {"log": str(tmp_path / "log"), "name": "a", **further}


def test_the_order_is_answered_by_facts_and_each_line_by_a_step(stub, tmp_path):
    facts = stub.ask(order(tmp_path))
    assert facts["first_s"] > 0
    assert (facts["versions"], facts["n_parameters"]) == ("stub 1", 3)
    assert (tmp_path / "log").read_text() == "a"
    for steps in (2, 3):
        answer = stub.ask({})
        assert answer.pop("step_s") > 0
        assert answer == {"peak_memory_bytes": 7}
        assert (tmp_path / "log").read_text() == "a" * steps


def test_a_worker_that_fails_says_so_in_one_line(stub, tmp_path):
    with pytest.raises(ConfigError, match=r"^stub has stopped: ValueError: no such step; mend it$"):
        stub.ask(order(tmp_path, fails=True))
    with pytest.raises(ConfigError, match="no such step"):
        stub.ask({})


def test_a_worker_that_is_killed_says_so(stub, tmp_path):
    stub.ask(order(tmp_path))
    stub.process.kill()
    with pytest.raises(ConfigError, match=r"^stub has stopped: killed by signal 9, perhaps for want of memory"):
        stub.ask({})


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys; sys.exit(3)", "exit code 3"),
        ("import sys; sys.exit('no luck')", "no luck"),
        ("import nonesuch", "ModuleNotFoundError: No module named 'nonesuch'"),
        ("raise ValueError('first\\nsecond')", "ValueError: first"),
    ],
)
def test_the_reason_is_what_the_program_left(program, reason):
    with (
        worker("stub", [sys.executable, "-c", program], os.environ, "mend it") as dying,
        pytest.raises(ConfigError, match=f"^stub has stopped: {reason}; mend it$"),
    ):
        dying.ask({})


def test_a_program_that_is_not_there_is_named():
    with (
        pytest.raises(ConfigError, match=r"^stub: /nonesuch cannot be run \(No such file or directory\); mend it$"),
        worker("stub", ["/nonesuch"], os.environ, "mend it"),
    ):
        pass


def test_an_interrupt_ends_the_worker(tmp_path):
    with suppress(KeyboardInterrupt), worker("stub", STUB, os.environ, "mend it") as started:
        started.ask(order(tmp_path))
        raise KeyboardInterrupt
    assert started.process.returncode == -signal.SIGKILL


def test_a_worker_whose_parent_dies_ends_within_its_step(tmp_path):
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(STUB, text=True, **pipes) as process:
        process.stdin.write(json.dumps(order(tmp_path, hangs=True)) + "\n")
        process.stdin.flush()
        while not (tmp_path / "log").exists() and process.poll() is None:
            time.sleep(0.01)
        answers, _ = process.communicate(timeout=30)  # closes its input
    assert (process.returncode, answers) == (0, "")
