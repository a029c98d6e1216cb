"""A training that is killed again and again, without warning, ends as if it had never been.

A few kills in the suite; twenty, with a line for each: `KILLS=20 pytest -s tests/training/test_killed.py`.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from longrange.cli import CONFIG_DIR
from longrange.errors import CheckpointError
from longrange.training.checkpoint import LAST, PREVIOUS, load

pytestmark = pytest.mark.slow

ROOT = CONFIG_DIR.parent
KILLS = int(os.environ.get("KILLS", "4"))
SECONDS = 600  # for one life
MOMENTS = ("training", "saving", "anything", "validation")
COMMAND = [
    *(sys.executable, str(ROOT / "scripts/train.py"), "experiment=quickstart", "data.recipe.train=6000"),
    *("data.recipe.val=1000", "data.recipe.test=1000", "model.d_model=32", "model.n_layers=2", "save_every_s=0.5"),
    *(f"epochs={KILLS}", "resume=auto", "+callbacks.tell._target_=phases.Tell", "+callbacks.tell.path=phase"),
]
SCORES = ("metrics", "best_epoch", "epochs", "baseline", "n_parameters", "confusion")


class Training:
    """One command in one folder, in process groups of its own.

    Args:
        folder: what the command writes into.
        overrides: of the command.
    """

    def __init__(self, folder: Path, *overrides: str):
        self.folder, self.command, self.lives = folder, [*COMMAND, *overrides], 0
        folder.mkdir()

    def start(self) -> subprocess.Popen:
        self.lives += 1
        (self.folder / "phase").write_text("starting")
        environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
        with self.log.open("w") as log:
            return subprocess.Popen(
                self.command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def log(self) -> Path:
        """What the latest process says."""
        return self.folder / f"{self.lives}.log"

    @property
    def phase(self) -> str:
        return (self.folder / "phase").read_text()

    @property
    def run(self) -> Path:
        """The only run folder."""
        (run,) = (self.folder / "outputs/listops_short/s5").iterdir()
        return run

    def steps(self) -> int:
        """Optimiser steps that are safe: those of the newest good checkpoint."""
        for path in self.folder.rglob(LAST), self.folder.rglob(PREVIOUS):
            try:
                return load(next(path))["global_step"]
            except (StopIteration, CheckpointError):
                continue
        return 0

    def wait(self, process: subprocess.Popen, phase: str) -> None:
        end = time.monotonic() + SECONDS
        while self.phase != phase:
            assert process.poll() is None, self.log.read_text()
            assert time.monotonic() < end
            time.sleep(0.001)

    def to_its_end(self) -> float:
        """Seconds of training and testing."""
        process = self.start()
        self.wait(process, "training")
        began = time.monotonic()
        assert process.wait(SECONDS) == 0, self.log.read_text()
        return time.monotonic() - began


def kill(training: Training, moment: str, chance: random.Random, epoch_s: float, startup_s: float, alone: bool) -> str:
    """Let a process live until a random moment of a kind; say when that was.

    Args:
        alone: kill the main process only, as a system short of memory does; its loaders find out later.
    """
    process = training.start()
    if moment != "anything":
        training.wait(process, moment)
    time.sleep(
        chance.uniform(0, {"training": 2 * epoch_s, "validation": 0.2, "saving": 0.01}.get(moment, startup_s * 1.5))
    )
    assert process.poll() is None, training.log.read_text()
    (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
    process.wait()
    drafts = [path.name for path in training.folder.rglob(".*.partial")]
    return f"{training.phase}{' and writing' if drafts else ''}"


def assert_same(ours: Path, theirs: Path) -> None:
    """Weights, the optimizer's state, curves and scores, bit by bit."""
    for name in ("last.ckpt", "best.ckpt"):
        mine, other = (load(run / "checkpoints" / name) for run in (ours, theirs))
        for part in ("state_dict", "optimizer_states", "lr_schedulers"):
            assert repr_of(mine[part]) == repr_of(other[part]), (name, part)
    assert (ours / "metrics.csv").read_text() == (theirs / "metrics.csv").read_text()
    mine, other = (json.loads((run / "result.json").read_text()) for run in (ours, theirs))
    assert [mine[name] for name in SCORES] == [other[name] for name in SCORES]


def repr_of(node):
    """Plain containers of tensors as something that can be compared."""
    if isinstance(node, torch.Tensor):
        return (node.dtype, node.shape, node.numpy().tobytes())
    if isinstance(node, dict):
        return {key: repr_of(value) for key, value in node.items()}
    return [repr_of(value) for value in node] if isinstance(node, list | tuple) else node


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory):
    """The folder of a training that was left alone, the seconds before it began and those of one of its epochs."""
    training = Training(tmp_path_factory.mktemp("whole") / "run")
    began = time.monotonic()
    seconds = training.to_its_end()
    return training.run, time.monotonic() - began - seconds, seconds / KILLS


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_at_random_moments(never_stopped, tmp_path, workers):
    whole, startup_s, epoch_s = never_stopped
    training, chance, safe = Training(tmp_path / "run", f"data.num_workers={workers}"), random.Random(workers), 0
    for number in range(KILLS):
        alone = workers > 0 and number % 2 == 1
        when = kill(training, MOMENTS[number % len(MOMENTS)], chance, epoch_s, startup_s, alone)
        before, safe = safe, training.steps()
        who = "the main process alone, " if alone else ""
        sys.stdout.write(f"{workers} workers, kill {number + 1}: {who}{when}, {safe} steps safe\n")
        assert safe >= before
    assert safe > 0
    training.to_its_end()
    said = "".join(log.read_text() for log in training.folder.glob("*.log"))
    assert "trying the one before" not in said
    assert not list(training.folder.rglob(".*.partial"))
    assert_same(training.run, whole)


def test_of_eight_at_once_one_trains_and_seven_say_why_not(tmp_path):
    training = Training(tmp_path / "run", "epochs=100000")
    processes = [training.start() for _ in range(8)]
    try:
        end = time.monotonic() + SECONDS
        while sum(process.poll() is not None for process in processes) < 7:
            assert time.monotonic() < end
            time.sleep(0.1)
        training.wait(next(process for process in processes if process.poll() is None), "training")
        assert sorted(str(process.poll()) for process in processes) == ["2"] * 7 + ["None"]
        said = "".join((training.folder / f"{number}.log").read_text() for number in range(1, 9))
        assert said.count("error: ") == said.count("another training is writing here") == 7
        assert "Traceback" not in said
    finally:
        for process in processes:
            process.kill()
            process.wait()
