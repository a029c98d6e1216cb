"""Two processes that form one gloo group, as those of a distributed training do; started once, used by many tests."""

import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing

PROCESSES = 2


class Processes:
    """Calls functions in both processes at the same time; a context.

    Args:
        folder: an empty one, where they meet.
    """

    def __init__(self, folder: Path):
        context = multiprocessing.get_context("spawn")
        self._pipes, ends = zip(*(context.Pipe() for _ in range(PROCESSES)), strict=True)
        arguments = [(rank, end, folder / "meeting") for rank, end in enumerate(ends)]
        self._processes = [context.Process(target=_serve, args=args, daemon=True) for args in arguments]

    def __enter__(self) -> "Processes":
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, *_) -> None:
        for process in self._processes:
            process.terminate()  # they wait for a call, or for one another

    def call(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What a function of a module returns in each process; the arguments are the same for all."""
        for pipe in self._pipes:
            pipe.send((function, arguments))
        answers: dict[Connection, Any] = {}
        while len(answers) < PROCESSES:
            ready = wait([pipe for pipe in self._pipes if pipe not in answers], timeout=120)
            assert ready, "the processes wait for one another"
            for pipe in ready:
                answers[pipe], error = pipe.recv()
                assert error is None, error
        return [answers[pipe] for pipe in self._pipes]


def _serve(rank: int, pipe: Connection, meeting: Path) -> None:
    """Answer calls."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=PROCESSES)
    # Lightning need not start them.
    os.environ.update(LOCAL_RANK=str(rank), WORLD_SIZE=str(PROCESSES))
    while True:
        function, arguments = pipe.recv()
        try:
            pipe.send((function(*arguments), None))
        except Exception:
            pipe.send((None, f"process {rank}: {traceback.format_exc()}"))
