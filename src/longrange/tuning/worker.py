"""A worker: takes the study's free places one after another, until all are done with."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from optuna import Study, Trial
from optuna.trial import FrozenTrial, TrialState

from longrange import diagnose
from longrange.cli import CONFIG_DIR
from longrange.errors import ConfigError
from longrange.tuning.objective import InterruptedTrialError, PointFailedError, Say, objective, stop_without_parent
from longrange.tuning.plan import Plan
from longrange.tuning.study import (
    REASON,
    SURPLUS,
    find_lost,
    open_study,
    placed,
    replacements,
    run_again,
    storage_errors,
)

POLL_S = 2.0  # between two looks at the trials of other workers
HOPELESS = 3  # trials that all fail for the same reason before any does not


def process(plan: Plan) -> None:
    """What a worker process does: `work`, with one line for a mistake and the exit codes of the command line."""
    try:
        work(plan)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        line = diagnose.run_error(error, CONFIG_DIR, "train", plan.overrides)
        if line is None:
            raise
        sys.stderr.write(f"error: {line}\n")
        sys.exit(2)


def work(plan: Plan) -> None:
    """Run trials until none is left, those of other workers included: what one worker leaves, another takes up.

    Raises:
        KeyboardInterrupt: this process was asked to stop, or the one that started it was killed; the point of its trial
            waits to be run again.
        LongrangeError: a mistake that would stop every trial.
    """
    say, announced = speaker(), False
    with storage_errors(plan), stoppable():
        study = open_study(plan)
        while True:
            stop_without_parent()
            find_lost(study, plan)
            trials = placed(study)
            running = [trial.number for trial in trials if trial.state is TrialState.RUNNING]
            if len(trials) < plan.trials or any(trial.state is TrialState.WAITING for trial in trials):
                _run_one(study, plan, say)
            elif not running:
                return
            else:
                if not announced:
                    say(f"all places are taken; waiting for trial {', '.join(map(str, running))} of other workers")
                announced = True
                time.sleep(POLL_S)


def speaker() -> Say:
    """Prints lines with the time where the process prints now, each in one piece beside those of other workers."""
    stream = sys.stdout

    def say(line: str) -> None:
        stream.write(f"{time.strftime('%H:%M:%S')}  {line}\n")
        stream.flush()

    return say


@contextmanager
def stoppable() -> Iterator[None]:
    """Within it, a first Ctrl-C or SIGTERM raises KeyboardInterrupt, and further ones do not disturb its handling."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in earlier:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    earlier = {each: signal.signal(each, interrupt) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in earlier.items():
            signal.signal(each, handler)


def _run_one(study: Study, plan: Plan, say: Say) -> None:
    """Take a place and run its trial."""
    taken: list[Trial] = []

    def run(trial: Trial) -> float:
        taken.append(trial)
        if sum(other.number < trial.number for other in placed(study)) >= plan.trials:
            trial.set_user_attr(SURPLUS, True)
            raise PointFailedError
        return objective(trial, _stored(study, trial), plan, say)

    try:
        study.optimize(run, n_trials=1, catch=(PointFailedError,))
    except (Exception, KeyboardInterrupt) as error:
        if not taken:
            raise
        trial = _stored(study, taken[0])
        newer = replacements(study.get_trials(deepcopy=False)).get(trial.number)
        if newer is not None:
            say(f"trial {trial.number}  is run by another worker as trial {newer}, which took this one for dead")
            return
        if trial.state is TrialState.FAIL:
            run_again(study, trial)
        raise KeyboardInterrupt if isinstance(error, InterruptedTrialError) else error from None
    _tell(study, plan, _stored(study, taken[0]), say)


def _tell(study: Study, plan: Plan, trial: FrozenTrial, say: Say) -> None:
    """Print how a trial ended.

    Raises:
        ConfigError: the search is hopeless.
    """
    if SURPLUS in trial.user_attrs:
        return
    trials = [other for other in placed(study) if other.state.is_finished()]
    line = outcome(trial, plan.metric)
    complete = [other for other in trials if other.state is TrialState.COMPLETE]
    best = f", best {study.best_value:.4f} (trial {study.best_trial.number})" if complete else ""
    say(f"trial {trial.number}  {line}; {len(trials)} of {plan.trials} done{best}")
    reasons = {other.user_attrs.get(REASON) for other in trials}
    if len(trials) >= HOPELESS and len(reasons) == 1 and all(other.state is TrialState.FAIL for other in trials):
        raise ConfigError(
            f"all {len(trials)} trials failed for the same reason: {reasons.pop()}; mend it, and start afresh "
            "with search.study=<name>"
        )


def outcome(trial: FrozenTrial, metric: str) -> str:
    """How a finished trial ended, in a few words."""
    if trial.state is TrialState.COMPLETE:
        return f"complete: val/{metric} {trial.value:.4f} in {trial.duration.total_seconds():.0f} s"
    state = "pruned" if trial.state is TrialState.PRUNED else "failed:"
    return f"{state} {trial.user_attrs.get(REASON)}"


def _stored(study: Study, trial: Trial) -> FrozenTrial:
    return study.get_trials(deepcopy=False)[trial.number]
