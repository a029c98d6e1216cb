"""The log on the terminal."""

import contextlib
import io
import json
import logging
import subprocess
import sys

import pytest

from longrange.results.console import ConsoleHandler
from tests.paths import ROOT

REDIRECTED = {"stdout": contextlib.redirect_stdout, "stderr": contextlib.redirect_stderr}


@pytest.mark.parametrize("stream", REDIRECTED)
def test_lines_go_to_what_the_stream_is_at_the_time(stream):
    handler, line = ConsoleHandler(stream), logging.makeLogRecord({"msg": "on course"})
    bars = [io.StringIO(), io.StringIO()]
    for bar in bars:
        with REDIRECTED[stream](bar):
            handler.handle(line)
    assert [bar.getvalue() for bar in bars] == ["on course\n"] * 2


def test_what_a_command_prints_stands_alone(tmp_path):
    """A measurement that has to draw its data first."""
    small = [
        "data.recipe.train=40",
        "data.recipe.val=20",
        "data.recipe.test=20",
        "data.batch_size=4",
        "model.n_layers=1",
    ]
    own = [f"paths.data={tmp_path}", "benchmark.seconds=0.1", "benchmark.steps=1", f"benchmark.folder={tmp_path}"]
    command = [sys.executable, str(ROOT / "scripts" / "benchmark.py"), "benchmark=loader", "data=listops_short"]
    ran = subprocess.run([*command, "trainer=cpu", *small, *own], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout)["task"] == "listops_short"
    assert "no ListOps files; generating them" in ran.stderr
    assert "drawing expressions" in ran.stderr
