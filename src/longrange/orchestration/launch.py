"""Trainings one after another, each in a process of its own, or together through one of Hydra's launchers.

A failed training stops no other. Several commands on one machine share the work: each training is locked while it runs.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from filelock import FileLock, Timeout
from rich.console import Console
from rich.table import Table
from rich.text import Text

from longrange.orchestration.commands import reason, watched
from longrange.orchestration.jobs import Job
from longrange.results.run_folder import RECORD

COLOURS = {"done": "green", "failed": "red", "interrupted": "yellow", "elsewhere": "dim", "not started": "dim"}


@dataclass(frozen=True)
class Attempt:
    """What came of a training.

    Attributes:
        job: the training.
        state: "done", "failed", "interrupted", "elsewhere" (another command trains or trained it) or "not started".
        seconds: how long it took; None where it was not started here.
        reason: of a failure, one line.
        log: what it printed; None where it was not started here.
    """

    job: Job
    state: str
    seconds: float | None = None
    reason: str = ""
    log: Path | None = None


@dataclass(frozen=True)
class Workplace:
    """Where trainings run.

    Attributes:
        script: scripts/train.py.
        outputs: folder of their runs.
        logs: folder of what they print, and of the locks.
        environment: environment variables of their processes.
    """

    script: Path
    outputs: Path
    logs: Path
    environment: Mapping[str, str]

    def command(self, job: Job) -> list[str]:
        """The command line of a training, which goes on where it was interrupted."""
        return [sys.executable, str(self.script), *job.overrides, *resume(job, self.outputs)]


def resume(job: Job, outputs: Path) -> list[str]:
    """What its command line needs to go on."""
    return ["resume=auto"] if job.resumes(outputs) else []


def one_by_one(jobs: Sequence[Job], place: Workplace, since: float, console: Console) -> list[Attempt]:
    """Train every job; after an interrupt the rest is not started.

    Args:
        jobs: what to train, in this order.
        place: where.
        since: when the list of jobs was made; what another command has finished later is not repeated.
        console: for one line a training, and its last line while it runs.
    """
    attempts: list[Attempt] = []
    for number, job in enumerate(jobs, start=1):
        with _lock(place, job) as mine:
            if not mine or _finished_since(job, place.outputs, since):
                attempts.append(Attempt(job, "elsewhere"))
                continue
            attempts.append(_attempt(job, place, console, f"{number}/{len(jobs)}"))
        if attempts[-1].state == "interrupted":
            break
    return attempts + [Attempt(job, "not started") for job in jobs[len(attempts) :]]


def together(
    jobs: Sequence[Job], place: Workplace, since: float, launcher: Sequence[str], console: Console
) -> list[Attempt]:
    """Hand every job to one of Hydra's launchers, in as few sweeps as there are kinds of command lines.

    Args:
        jobs: what to train.
        place: where.
        since: when the list of jobs was made; what was finished later is done.
        launcher: overrides that choose it.
        console: shows what the sweeps print.
    """
    with ExitStack() as stack:
        mine = [job for job in jobs if stack.enter_context(_lock(place, job))]
        attempts = [Attempt(job, "elsewhere") for job in jobs if job not in mine]
        for number, sweep in enumerate(sweeps(mine, place.outputs), start=1):
            if any(attempt.state == "interrupted" for attempt in attempts):
                attempts += [Attempt(job, "not started") for job in sweep]
            else:
                attempts += _sweep(sweep, place, since, launcher, console, place.logs / f"sweep-{number}.log")
    return attempts


def _sweep(
    jobs: Sequence[Job], place: Workplace, since: float, launcher: Sequence[str], console: Console, file: Path
) -> list[Attempt]:
    command = [sys.executable, str(place.script), "-m", *_swept(jobs, place.outputs), *launcher]
    line = f"{len(jobs)} trainings, {' '.join(launcher)}; log: {file}"
    console.print(line, highlight=False, soft_wrap=True, markup=False)
    began = perf_counter()
    code, lines = watched(command, file, place.environment, lambda line: console.out(line, end="", highlight=False))
    seconds = perf_counter() - began
    return [_of_sweep(job, place, since, code, lines, seconds, file) for job in jobs]


def sweeps(jobs: Sequence[Job], outputs: Path) -> list[list[Job]]:
    """Jobs in groups that one `-m` command line can name: every experiment of a group with every seed of it."""
    alike: dict[tuple, dict[str, list[Job]]] = {}
    for job in jobs:
        kind = (job.further, job.resumes(outputs))
        alike.setdefault(kind, {}).setdefault(job.experiment, []).append(job)
    groups: dict[tuple, list[Job]] = {}
    for kind, by_experiment in alike.items():
        for of_one in by_experiment.values():
            groups.setdefault((kind, tuple(job.seed for job in of_one)), []).extend(of_one)
    return list(groups.values())


def print_attempts(attempts: Sequence[Attempt], console: Console) -> None:
    """Print what came of each training, failures with their reason and where to read more."""
    table = Table("training", "state", "time", "reason", title="Trainings", title_justify="left")
    for attempt in attempts:
        took = "" if attempt.seconds is None else duration(attempt.seconds)
        why = f"{attempt.reason}; log: {attempt.log}" if attempt.state == "failed" else ""
        table.add_row(Text(attempt.job.label), Text(attempt.state, COLOURS[attempt.state]), took, Text(why))
    console.print(table)
    counts = {state: sum(attempt.state == state for attempt in attempts) for state in COLOURS}
    console.print(", ".join(f"{count} {state}" for state, count in counts.items() if count), highlight=False)


def duration(seconds: float) -> str:
    """For people, e.g. "42 s", "7 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _attempt(job: Job, place: Workplace, console: Console, place_in_row: str) -> Attempt:
    file, command, began = place.logs / f"{job.file}.log", place.command(job), perf_counter()
    going_on = ", going on" if "resume=auto" in command else ""
    line = f"{place_in_row}  {job.label}{going_on}; log: {file}"
    console.print(line, highlight=False, soft_wrap=True, markup=False)
    with console.status("starting") as status:
        code, lines = watched(
            command, file, place.environment, lambda line: status.update(Text(line.strip()[: console.width - 4]))
        )
    seconds = perf_counter() - began
    if code is None:
        return Attempt(job, "interrupted", seconds, log=file)
    attempt = Attempt(job, "failed" if code else "done", seconds, reason(code, lines) if code else "", file)
    console.print(
        f"      {attempt.state} after {duration(seconds)}{attempt.reason and ': ' + attempt.reason}",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
    return attempt


@contextmanager
def _lock(place: Workplace, job: Job) -> Iterator[bool]:
    """Whether this process has got a training's lock; held until the block ends."""
    place.logs.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place.logs / f".{job.file}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _finished_since(job: Job, outputs: Path, began: float) -> bool:
    folder = job.folder(outputs)
    record = folder and folder / RECORD
    return record is not None and record.exists() and record.stat().st_mtime > began


def _swept(jobs: Sequence[Job], outputs: Path) -> list[str]:
    experiments = ",".join(dict.fromkeys(job.experiment for job in jobs))
    seeds = ",".join(str(seed) for seed in dict.fromkeys(job.seed for job in jobs))
    return [f"experiment={experiments}", *jobs[0].further, f"seed={seeds}", *resume(jobs[0], outputs)]


def _of_sweep(
    job: Job, place: Workplace, since: float, code: int | None, lines: list[str], seconds: float, file: Path
) -> Attempt:
    if _finished_since(job, place.outputs, since):
        return Attempt(job, "done", seconds, log=file)
    if code is None:
        return Attempt(job, "interrupted", seconds, log=file)
    own = [line for line in lines if f"experiment={job.experiment} " in line and f"seed={job.seed})" in line]
    return Attempt(job, "failed", seconds, reason(code, own or lines), file)
