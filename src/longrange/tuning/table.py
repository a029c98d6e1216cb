"""What a search has tried: one row a trial."""

from optuna import Study
from optuna.trial import FrozenTrial, TrialState
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from longrange.terminal import table_console
from longrange.tuning.plan import Plan
from longrange.tuning.space import shown
from longrange.tuning.study import REASON, SURPLUS, history, placed, replacements

COLOURS = {
    "complete": "green",
    "pruned": "cyan",
    "failed": "red",
    "ended": "dim",
    "running": "yellow",
    "waiting": "dim",
}


def print_trials(study: Study, plan: Plan) -> None:
    """Print every trial: its point, its score, what became of it and why.

    Args:
        study: of the search.
        plan: of the search.
    """
    trials = [trial for trial in study.get_trials(deepcopy=False) if SURPLUS not in trial.user_attrs]
    newer = replacements(trials)
    table = Table(title=escape(f"Study {plan.study}"), title_justify="left")
    for column in ("trial", "point", f"val/{plan.metric}", "state", "seconds", "reason"):
        table.add_column(column, no_wrap=column != "reason")
    for trial in trials:
        state, reason = _state(trial, newer)
        value = "" if trial.value is None else f"{trial.value:.4f}"
        seconds = "" if trial.duration is None else f"{trial.duration.total_seconds():.0f}"
        point = Text(shown(trial.params, "\n"))
        table.add_row(str(trial.number), point, value, Text(state, COLOURS[state]), seconds, Text(reason))
    table_console().print(table)


def counts(study: Study) -> str:
    """How many places hold what, e.g. "4 complete, 1 failed"."""
    states = [_state(trial, {})[0] for trial in placed(study)]
    return ", ".join(f"{states.count(state)} {state}" for state in COLOURS if state in states)


def _state(trial: FrozenTrial, newer: dict[int, int]) -> tuple[str, str]:
    """A trial's state in one word, and why."""
    reason = trial.user_attrs.get(REASON, "")
    if trial.number in newer:
        return "ended", f"its process ended; again as trial {newer[trial.number]}"
    if trial.state is TrialState.FAIL:
        return "failed", reason or f"its process ended, {len(history(trial)) + 1} times"
    if trial.state in (TrialState.RUNNING, TrialState.WAITING):
        again = f"the point of trial {history(trial)[-1]}" if history(trial) else ""
        return trial.state.name.lower(), again
    return trial.state.name.lower(), reason
