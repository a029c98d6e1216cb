"""Jobs side by side take different GPUs."""

import subprocess
import sys
import tempfile

import pytest

from longrange.orchestration import gpus

TAKE = "import sys; from longrange.orchestration.gpus import own_gpu; print(own_gpu(), flush=True); sys.stdin.read()"


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Start a process that takes a GPU and holds it; return it and what it took."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    started = []

    def start():
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen([sys.executable, "-c", TAKE], **pipes))
        return started[-1], started[-1].stdout.readline().strip()

    yield start
    for process in started:
        process.kill()


def test_each_job_has_one_until_it_ends(job):
    (first, one), (_, other) = job(), job()
    assert {one, other} == {"4", "6"}
    first.kill()
    first.wait()
    assert job()[1] == one, "free again, however its job ended"
    assert job()[1] in ("4", "6"), "more jobs than GPUs share them"


@pytest.mark.parametrize("visible", ["", None])
def test_a_machine_without_a_gpu(monkeypatch, tmp_path, visible):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus.own_gpu.__wrapped__() == ""
    assert not list(tmp_path.iterdir())
