"""How the jobs of a `-m` sweep went: each leaves two lines in a file, and a table at the end tells all of them.

A file a job, because a launcher may run jobs in other processes or on other machines; they share the outputs folder.
"""

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import strftime, time
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from longrange.ranks import process_rank

COLOURS = {"done": "green", "failed": "red", "interrupted": "yellow", "not started": "dim"}


class JobFailedError(Exception):
    """A sweep's job that failed; its message is printed already.

    Args:
        code: exit code.
        reason: of the failure, one line.
    """

    def __init__(self, code: int, reason: str):
        super().__init__(code, reason)
        self.code, self.reason = code, reason


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Attributes:
        number: counted from 0, as Hydra prints it.
        overrides: the job's command line.
        state: "done", "failed", "interrupted" (begun, never ended: stopped or killed) or "not started".
        score: what the script returned; None where that is no number.
        seconds: from its start to its end; None where it has none.
        reason: of a failure, one line.
    """

    number: int
    overrides: Sequence[str]
    state: str
    score: float | None = None
    seconds: float | None = None
    reason: str = ""


class JobFiles(Callback):
    """Hydra calls it when a sweep starts, and when a job starts and ends, there where that happens.

    Args:
        folder: each sweep makes a folder of its own in it, which all its processes see.

    Attributes:
        current: the sweep that this process has started; None before.
    """

    current: "JobFiles | None" = None

    def __init__(self, folder: str):
        self.folder = Path(folder).absolute() / f"{strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        self.planned: list[list[str]] = []

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Make the folder and list the jobs to come, as far as the sweeper is Hydra's own."""
        JobFiles.current = self
        self.folder.mkdir(parents=True)
        sweeper = config.hydra.sweeper
        if sweeper._target_ == f"{BasicSweeper.__module__}.{BasicSweeper.__qualname__}":
            given = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
            arguments = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
            parsed = OverridesParser.create().parse_overrides([*given, *arguments])
            self.planned = [job for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note a job's command line and time."""
        if config.hydra.mode is RunMode.MULTIRUN:
            overrides = OmegaConf.to_container(config.hydra.overrides.task)
            self._note(config.hydra.job.num, overrides=overrides, began=time())

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Note what came of it."""
        if config.hydra.mode is RunMode.MULTIRUN:
            failed, came = job_return.status is JobStatus.FAILED, job_return._return_value
            score = came if isinstance(came, int | float) else None
            self._note(config.hydra.job.num, ended=time(), score=score, reason=_reason(came) if failed else None)

    def lose(self, number: int, reason: str) -> None:
        """Note that a job will not end by itself any more, and why, as its launcher says."""
        if not self._file(number).exists():
            self._note(number, overrides=self.planned[number], began=time())
        self._note(number, ended=time(), score=None, reason=reason)

    def jobs(self) -> list[Job]:
        """All jobs, in their order, as they stand now."""
        numbers = {int(file.stem) for file in self.folder.glob("*.jsonl")} | set(range(len(self.planned)))
        return [self._job(number) for number in sorted(numbers)]

    def remove(self) -> None:
        """Delete the files."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # another sweep runs beside this one
            self.folder.parent.rmdir()

    def _note(self, number: int, **facts: Any) -> None:
        if process_rank() > 0:
            return  # the first process of the job notes it
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._file(number).open("a") as file:
            file.write(json.dumps(facts) + "\n")

    def _file(self, number: int) -> Path:
        return self.folder / f"{number}.jsonl"

    def _job(self, number: int) -> Job:
        if not self._file(number).exists():
            return Job(number, self.planned[number], "not started")
        began, *ended = [json.loads(line) for line in self._file(number).read_text().splitlines()]
        if not ended:
            return Job(number, began["overrides"], "interrupted")
        state = "done" if ended[-1]["reason"] is None else "failed"
        seconds = ended[-1]["ended"] - began["began"]
        return Job(number, began["overrides"], state, ended[-1]["score"], seconds, ended[-1]["reason"] or "")


def has_begun() -> bool:
    """Whether any job of a sweep that this process has started has begun; else its command itself was refused."""
    return JobFiles.current is not None and any(job.state != "not started" for job in JobFiles.current.jobs())


def report() -> None:
    """Print the table of the sweep that this process has started, if its jobs have begun; delete the sweep's files."""
    if (sweep := JobFiles.current) is None:
        return
    try:
        if has_begun():
            print_jobs(sweep.jobs())
    finally:  # also where nobody reads the table
        sweep.remove()
        JobFiles.current = None


def print_jobs(jobs: Sequence[Job]) -> None:
    """Print one row a job; the overrides that all jobs share stand above the table.

    Args:
        jobs: of one sweep.
    """
    from rich.table import Table
    from rich.text import Text

    from longrange.terminal import table_console

    shared = [given for given in (jobs[0].overrides if jobs else []) if all(given in job.overrides for job in jobs)]
    table = Table("job", "overrides", "state", "score", "seconds", "reason", title="Jobs", title_justify="left")
    for job in jobs:
        own = " ".join(given for given in job.overrides if given not in shared)
        score = "" if job.score is None else f"{job.score:.4f}"
        seconds = "" if job.seconds is None else f"{job.seconds:.0f}"
        table.add_row(str(job.number), Text(own), Text(job.state, COLOURS[job.state]), score, seconds, Text(job.reason))
    console = table_console()
    if len(shared) > 0:
        console.print(f"all jobs: {' '.join(shared)}", highlight=False, soft_wrap=True, markup=False)
    console.print(table)
    counts = {state: sum(job.state == state for job in jobs) for state in COLOURS}
    console.print(", ".join(f"{count} {state}" for state, count in counts.items() if count), highlight=False)


def _reason(error: Any) -> str:
    """A failure in one line: the job's own, or what another exception says."""
    line = getattr(error, "reason", None) or f"{type(error).__name__}: {error}"
    return " ".join(line.split())
