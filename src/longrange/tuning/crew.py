"""Several workers on one machine: processes that share its cores and its GPUs."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.process import BaseProcess

from longrange.orchestration.gpus import visible
from longrange.tuning.plan import Plan
from longrange.tuning.worker import process, stoppable, work


def run_workers(plan: Plan, count: int) -> list[int]:
    """Work here where one worker is enough, else in as many processes.

    Args:
        plan: of the search.
        count: how many.
    Returns:
        Exit codes of the processes that did not end well; negative ones name the signal that killed them.
    Raises:
        KeyboardInterrupt: this process was asked to stop; its workers have ended.
    """
    if count <= 1:
        work(plan)
        return []
    workers = [get_context("spawn").Process(target=process, args=(plan,)) for _ in range(count)]
    with stoppable():
        try:
            for number, worker in enumerate(workers):
                with _environment(share(number, count)):
                    worker.start()
            _wait(workers)
        except KeyboardInterrupt:
            begun = [worker for worker in workers if worker.pid is not None]
            for worker in begun:
                worker.terminate()
            _wait(begun)
            raise
    return [worker.exitcode for worker in workers if worker.exitcode]


def share(number: int, count: int) -> dict[str, str]:
    """Environment variables that give a worker its share of the cores, and one GPU where there are several.

    Args:
        number: of the worker, from 0 on.
        count: of all workers.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    variables = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(max(1, cores // count))}
    gpus = visible()
    return variables | ({"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if len(gpus) > 1 else {})


def _wait(workers: Sequence[BaseProcess]) -> None:
    for worker in workers:
        worker.join()


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Variables for a process that is started within it."""
    earlier = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            if name in earlier:
                os.environ[name] = earlier[name]
            else:
                del os.environ[name]
