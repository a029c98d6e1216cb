"""A sweep on a cluster waits for all its jobs, also where one is lost: killed, out of time, gone with its machine.

The launchers for SLURM and Ray stop waiting at the first such job, and Ray's then ends the others. A job that fails by
itself is another matter: it ends in an orderly way and says why.
"""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from longrange.orchestration.sweep import JobFailedError, JobFiles


class WaitForAll(Callback):
    """Hydra calls it where a sweep starts, before its launcher."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Let the launcher take a lost job for a failed one."""
        numbers = itertools.count()
        if config.hydra.launcher._target_.endswith("SlurmLauncher"):
            # What SLURM sends before the time is up, and what a training stops at with a checkpoint.
            os.environ.setdefault("SUBMITIT_PREEMPT_SIGNAL", "USR1")
            executor = import_module("submitit").AutoExecutor
            executor.map_array = _with_patience(executor.map_array, numbers)
        else:
            core = import_module("hydra_plugins.hydra_ray_launcher._core")
            get = core.ray.get
            core.ray = SimpleNamespace(get=lambda run: _result_of(lambda: get(run), next(numbers)))


class SubmittedJob:
    """A job of submitit that always has a result.

    Args:
        job: as submitit returned it.
        number: in the sweep.
    """

    def __init__(self, job: Any, number: int):
        self._job, self._number = job, number

    def results(self) -> list[JobReturn]:
        """Wait for the job; of its processes' results, the first one's."""
        return [_result_of(lambda: self._job.results()[0], self._number)]


def _with_patience(map_array: Callable[..., Sequence[Any]], numbers: Iterator[int]) -> Callable[..., list]:
    return lambda *arguments: [SubmittedJob(job, next(numbers)) for job in map_array(*arguments)]


def _result_of(wait: Callable[[], JobReturn], number: int) -> JobReturn:
    """What a job returned, or a failure with what its launcher says of it."""
    try:
        return wait()
    except Exception as error:  # of a class of the launcher's
        reason = " ".join([f"{type(error).__name__}:", *str(error).splitlines()[:2]])
        sweep = JobFiles.current
        sweep.lose(number, reason)
        failure = JobFailedError(1, reason)
        return JobReturn(overrides=sweep.planned[number], _return_value=failure, status=JobStatus.FAILED)
