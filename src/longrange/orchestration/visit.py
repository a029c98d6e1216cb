"""What scripts/measure.py does: errands on a machine with a GPU in a number of seconds, and on with the rest later.

A failed errand stops no other. The report of what came of each lies with what is taken home, so that the next visit
knows what has passed.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from rich.text import Text

from longrange.data.files import locked
from longrange.errors import ConfigError, DataError
from longrange.orchestration.commands import reason, watched
from longrange.orchestration.errands import Errand, Errands
from longrange.orchestration.launch import duration
from longrange.orchestration.luggage import pack, unpack_measured, unpack_run
from longrange.provenance import commit
from longrange.results.run_folder import run_folder
from longrange.terminal import table_console
from longrange.whole_files import write_whole

REPORT = "visit.json"
AGAIN = 75  # the exit code of a training that is stopped: start the same command again
NO_TIME, INTERRUPTED = "no time was left", "interrupted before it"
COLOURS = {"passed": "green", "failed": "red", "stopped": "yellow", "interrupted": "yellow", "not run": "dim"}


@dataclass(frozen=True)
class Outcome:
    """What came of an errand.

    Attributes:
        label: its name.
        state: "passed", "failed", "stopped" (its time was up), "interrupted" or "not run".
        why: in one line, where it has not passed.
        seconds: how long it took; None where it was not run.
        log: what it printed.
        commit: of the code.
    """

    label: str
    state: str
    why: str = ""
    seconds: float | None = None
    log: str = ""
    commit: str = ""


class Visit:
    """A visit: what is to be done, what has been, and the time there is.

    Args:
        cfg: as composed from configs/measure.yaml.
        repository: its folder.
        environment: environment variables of the commands.
        console: where to say how it goes.
    Raises:
        ConfigError: impossible values.
        DataError: the report of the visit before cannot be read.
    """

    def __init__(self, cfg: DictConfig, repository: Path, environment: Mapping[str, str], console: Console):
        if not 0 <= cfg.grace_s < cfg.budget_s:
            raise ConfigError(f"budget_s={cfg.budget_s}, grace_s={cfg.grace_s}: must leave time to do something")
        self.cfg, self.environment, self.console = cfg, environment, console
        self.errands = Errands(cfg, repository)
        self.outcomes = passed_before(Path(cfg.carried) / REPORT)
        self.logs, self.code = Path(cfg.work, "logs"), commit()
        self.known = repository / "results" if cfg.budget.name == "full" else None
        self.end = monotonic() + cfg.budget_s
        self.ends: dict[str, float] = {}  # of the parts that have begun

    def run(self) -> None:
        """Do what has not passed before; after an interrupt nothing more."""
        self._unpack()
        interrupted = False
        for errand in self.errands:
            if errand.label in self.outcomes and self.outcomes[errand.label].state == "passed":
                self._say(f"{errand.label}: passed before")
                continue
            outcome = Outcome(errand.label, "not run", INTERRUPTED) if interrupted else self._outcome(errand)
            interrupted = interrupted or outcome.state == "interrupted"
            self.outcomes[errand.label] = outcome
            self._pack()

    def exit_code(self) -> int:
        """0 where all is done, 130 after an interrupt, 1 after a failure, 75 where time was short."""
        states = {outcome.state for outcome in self.outcomes.values()}
        late = any(outcome.why == NO_TIME for outcome in self.outcomes.values())
        codes = [(130, "interrupted" in states), (1, "failed" in states), (AGAIN, late or "stopped" in states)]
        return next((code for code, applies in codes if applies), 0)

    def show(self) -> None:
        """Print what came of each errand, of this visit and those before."""
        table = Table("errand", "state", "time", "reason", title="Visit", title_justify="left")
        for each in self.outcomes.values():
            why = f"{each.why}; log: {each.log}" if each.log and each.why else each.why
            took = "" if each.seconds is None else duration(each.seconds)
            table.add_row(Text(each.label), Text(each.state, COLOURS[each.state]), took, Text(why))
        self.console.print(table)
        states = [outcome.state for outcome in self.outcomes.values()]
        counts = {state: states.count(state) for state in COLOURS}
        self._say(", ".join(f"{count} {state}" for state, count in counts.items() if count))
        self._say(f"to take home: {self.cfg.out}")

    def _outcome(self, errand: Errand) -> Outcome:
        if not errand.command:
            return Outcome(errand.label, "not run", errand.why)
        limit_s, grace_s = self._seconds_for(errand.part), self.cfg.grace_s if errand.part == "training" else 0
        if limit_s <= grace_s:
            return Outcome(errand.label, "not run", NO_TIME)
        log, began = self.logs / f"{re.sub(r'[^a-z0-9]+', '-', errand.label)}.log", monotonic()
        self._say(f"{errand.label}, {duration(limit_s)} at most; log: {log}")
        with self.console.status("starting") as status:
            code, lines = watched(
                list(errand.command),
                log,
                self.environment,
                lambda line: status.update(Text(line.strip()[: self.console.width - 4])),
                limit_s,
                grace_s,
            )
        seconds = round(monotonic() - began, 1)
        state, why = _state(code, lines, late=seconds >= limit_s - grace_s)
        self._say(f"      {state} after {duration(seconds)}{why and ': ' + why}")
        return Outcome(errand.label, state, why, seconds, str(log), self.code)

    def _seconds_for(self, part: str) -> float:
        """What is left of a part's time, which begins with its first command, and of the whole."""
        now, seconds = monotonic(), self.cfg.parts[part]
        end = self.ends.setdefault(part, self.end if seconds is None else min(self.end, now + seconds))
        return end - now

    def _unpack(self) -> None:
        """Put what was carried here in its place, on a machine that has nothing of it."""
        cfg, job = self.cfg, self.errands.job
        with locked(Path(cfg.work)):  # of two visits at once, one unpacks, and the other finds it done
            unpack_measured(Path(cfg.carried), Path(cfg.work), self.known)
            if job.folder(self.errands.outputs) is None:
                name = (cfg.name.task, cfg.name.model, job.seed, list(job.overrides))
                if unpack_run(Path(cfg.carried), run_folder(self.errands.outputs, *name, latest=False)):
                    self._say(f"training {job.label}: goes on from {cfg.carried}")

    def _pack(self) -> None:
        """After every errand: who knows how long this machine is here."""
        out, errands = Path(self.cfg.out), self.errands
        left = pack(out, errands.job.folder(errands.outputs), Path(self.cfg.work), self.cfg.most_mib * 2**20)
        outcomes = [asdict(outcome) for outcome in self.outcomes.values()]
        write_whole(out / REPORT, (json.dumps({"outcomes": outcomes, "left": left}, indent=2) + "\n").encode())
        for line in left:
            self._say(line)

    def _say(self, line: str) -> None:
        self.console.print(line, highlight=False, soft_wrap=True, markup=False)


def visit(cfg: DictConfig, repository: Path, environment: Mapping[str, str]) -> int:
    """Do all errands there is time for.

    Args:
        cfg: as composed from configs/measure.yaml.
        repository: its folder.
        environment: environment variables of the commands.
    Returns:
        The exit code, see `Visit.exit_code`.
    """
    console = table_console()
    there = Visit(cfg, repository, environment, console)
    there.run()
    there.show()
    return there.exit_code()


def passed_before(report: Path) -> dict[str, Outcome]:
    """What has passed in earlier visits, by label.

    Raises:
        DataError: the report cannot be read.
    """
    if not report.exists():
        return {}
    try:
        outcomes: list[dict[str, Any]] = json.loads(report.read_text())["outcomes"]
        found = [Outcome(**each) for each in outcomes]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{report}: not the report of a visit ({repr(error)[:200]}); give carried=<folder>") from error
    return {each.label: each for each in found if each.state == "passed"}


def _state(code: int | None, lines: list[str], *, late: bool) -> tuple[str, str]:
    """Of a command that has ended, and why."""
    if code is None:
        return "interrupted", ""
    if code == 0:
        return "passed", ""
    return ("stopped", "its time was up") if late or code == AGAIN else ("failed", reason(code, lines))
