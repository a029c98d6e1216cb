"""A job that is lost counts as failed, and the others are waited for."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from longrange.orchestration.lost_jobs import WaitForAll
from longrange.orchestration.sweep import JobFailedError, JobFiles

SEEDS = ["seed=0", "seed=1", "seed=2"]


class KilledError(Exception):
    """What a launcher raises."""


def outcome_of(number: int) -> JobReturn:
    """Of the job with this number; the second one was killed."""
    if number == 1:
        raise KilledError("Job 7_1\nhas no output (state: OUT_OF_MEMORY)\nError stream:\n---")
    return JobReturn(_return_value=float(number), status=JobStatus.COMPLETED)


class SlurmLike:
    """Of submitit: jobs with results of both of their processes."""

    def map_array(self, function, numbers):
        return [SimpleNamespace(results=lambda n=n: [function(n), None]) for n in numbers]


def from_slurm(monkeypatch) -> list[JobReturn]:
    """As hydra-submitit-launcher collects them."""
    submitit = ModuleType("submitit")
    submitit.AutoExecutor = type("AutoExecutor", (SlurmLike,), {"map_array": SlurmLike.map_array})
    monkeypatch.setitem(sys.modules, "submitit", submitit)
    start("hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher")
    return [job.results()[0] for job in submitit.AutoExecutor().map_array(outcome_of, range(3))]


def from_ray(monkeypatch) -> list[JobReturn]:
    """As hydra-ray-launcher collects them."""
    core = ModuleType("hydra_plugins.hydra_ray_launcher._core")
    core.ray = SimpleNamespace(get=outcome_of)
    monkeypatch.setitem(sys.modules, core.__name__, core)
    start("hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher")
    return [core.ray.get(number) for number in range(3)]


def start(launcher: str) -> None:
    WaitForAll().on_multirun_start(OmegaConf.create({"hydra": {"launcher": {"_target_": launcher}}}))


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Three jobs, of which the first has begun."""
    files = JobFiles(str(tmp_path / "sweeps"))
    files.planned = [[seed] for seed in SEEDS]
    monkeypatch.setattr(JobFiles, "current", files)
    return files


@pytest.mark.parametrize("collected", [from_slurm, from_ray])
def test_a_lost_job_is_a_failed_one(sweep, monkeypatch, collected):
    first, lost, last = collected(monkeypatch)
    assert (first.return_value, last.return_value) == (0.0, 2.0)
    assert (lost.status, lost.overrides) == (JobStatus.FAILED, ["seed=1"])
    with pytest.raises(JobFailedError):
        _ = lost.return_value
    (row,) = [job for job in sweep.jobs() if job.state == "failed"]
    assert (row.number, row.overrides) == (1, ["seed=1"])
    assert row.reason == "KilledError: Job 7_1 has no output (state: OUT_OF_MEMORY)"
