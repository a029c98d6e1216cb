"""What every worker says and hears, one JSON value a line: the order first, then a line for each step to run."""

import json
import os
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from time import perf_counter
from typing import Any, NamedTuple


class Prepared(NamedTuple):
    """A training step that is ready to run.

    Attributes:
        step: runs it, and returns when the device has finished.
        peak_memory: bytes at most so far.
        facts: what was built, by which versions.
    """

    step: Callable[[], object]
    peak_memory: Callable[[], int]
    facts: dict[str, Any]


def serve(prepare: Callable[[dict[str, Any]], Prepared]) -> None:
    """Answer on standard output until standard input ends, as it does when the parent dies; a step ends with it.

    The first line is the order; the answer to it are the facts, and `first_s`, seconds of the first step with all that
    it compiles. Every further line is a step; the answer to it is `step_s` and `peak_memory_bytes`.

    Args:
        prepare: makes the step that an order asks for.
    """
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what libraries print is no answer
        lines = _lines()
        work = prepare(json.loads(next(lines)))
        _tell(answers, {**work.facts, "first_s": _seconds(work.step)})
        for _ in lines:
            _tell(answers, {"step_s": _seconds(work.step), "peak_memory_bytes": work.peak_memory()})


def resident_peak() -> int:
    """Peak memory of this process in bytes. Linux counts that of the process that started it into `ru_maxrss`."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _lines() -> Iterator[str]:
    """Lines of standard input; its end ends the process, whatever it compiles or computes."""
    heard: SimpleQueue[str] = SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            heard.put(line)
        os._exit(0)

    Thread(target=listen, daemon=True).start()
    while True:
        yield heard.get()


def _seconds(step: Callable[[], object]) -> float:
    began = perf_counter()
    step()
    return perf_counter() - began


def _tell(answers: Any, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
