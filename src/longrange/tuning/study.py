"""The study, in a database that all processes of a search share: which places it has, and what stands in each.

A study of n trials has n places. A trial takes a free one, and keeps it when it completes, is pruned or fails for a
reason of its own. A trial whose process ended loses it to a new trial of the same point.
"""

import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from socket import gethostname

import optuna
from optuna import Study, Trial
from optuna.exceptions import ExperimentalWarning, OptunaError, UpdateFinishedTrialError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import make_url
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from longrange.errors import ConfigError
from longrange.tuning.plan import Plan

GRACE = 4  # heartbeats that a living trial may miss
RETRIES = 5  # of a point that ends its process each time, for want of memory perhaps
LOCK_S = 300  # seconds that a process waits for another one's write to an SQLite file

# Attributes of a trial.
WORKER = "worker"  # number of the trial, host and process that runs it
REASON = "reason"  # why it failed or was pruned
SURPLUS = "surplus"  # two workers took the last place at once, and this one gave way


def open_study(plan: Plan) -> Study:
    """Open the study, or make it where the storage has none of this name.

    Raises:
        ConfigError: the storage cannot be used, or the study there is of another space or another command.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with storage_errors(plan):
            study = optuna.create_study(
                storage=_retried(lambda: _storage(plan)),
                study_name=plan.study,
                direction=plan.direction,
                pruner=plan.pruner(),
                load_if_exists=True,
            )
            _check_identity(study, plan)
    except ImportError as error:
        raise ConfigError("storage: no driver for this database; pip install 'longrange[tune]'") from error
    except OSError as error:
        raise ConfigError(f"storage={without_password(plan.storage)}: {error.strerror}") from error
    return study


def without_password(url: str) -> str:
    """A storage's URL without its password."""
    return re.sub(r"(?<=://)([^:/@]*):[^@]*@", r"\1:***@", url)


def placed(study: Study) -> list[FrozenTrial]:
    """The trials that hold a place, by number."""
    trials = study.get_trials(deepcopy=False)
    replaced = replacements(trials).keys()
    return [trial for trial in trials if trial.number not in replaced and SURPLUS not in trial.user_attrs]


def replacements(trials: Sequence[FrozenTrial]) -> dict[int, int]:
    """Per trial whose process ended, the newest trial of the same point."""
    return {earlier: trial.number for trial in trials for earlier in history(trial)}


def history(trial: FrozenTrial) -> list[int]:
    """The earlier trials of the same point, whose processes ended."""
    return trial.system_attrs.get("retry_history", [])


def find_lost(study: Study, plan: Plan) -> None:
    """Queue the points of trials that show no sign of life any more."""
    with _experimental():
        optuna.storages.fail_stale_trials(study)
    for trial in placed(study):
        # Optuna does not miss a trial whose process ended before its first sign of life.
        if trial.state is TrialState.RUNNING and not began(trial) and _age(trial) > GRACE * plan.heartbeat_s:
            stop(study, trial)


def find_orphans(study: Study) -> None:
    """Queue the points of trials that were found lost by a process which ended before it could queue them."""
    for trial in placed(study):
        if trial.state is TrialState.FAIL and not trial.user_attrs.get(REASON) and len(history(trial)) < RETRIES:
            run_again(study, trial)


def stop(study: Study, trial: FrozenTrial) -> None:
    """End a trial that holds a place, and queue its point."""
    try:
        study.tell(trial.number, state=TrialState.FAIL)
    except (ValueError, UpdateFinishedTrialError):
        return  # another process was quicker
    run_again(study, trial)


def run_again(study: Study, trial: FrozenTrial) -> None:
    """Queue the point of a trial whose process ended, at the same place."""
    _retry(None)(study, trial)


def began(trial: FrozenTrial) -> bool:
    """Whether a worker has taken the trial up. A queued one carries the marks of the trial that it replaces."""
    return trial.user_attrs.get(WORKER, {}).get("trial") == trial.number


def begin(trial: Trial) -> None:
    """Mark a trial as taken up by this process."""
    trial.set_user_attr(WORKER, {"trial": trial.number, "host": gethostname(), "process": os.getpid()})
    trial.set_user_attr(REASON, "")


@contextmanager
def storage_errors(plan: Plan) -> Iterator[None]:
    """Within it, whatever the database says becomes one line.

    Raises:
        ConfigError: the storage cannot be used.
    """
    try:
        yield
    except (SQLAlchemyError, OptunaError) as error:
        cause = error.__cause__ or error
        raise ConfigError(f"storage={without_password(plan.storage)}: {str(cause).partition(chr(10))[0]}") from error


def _retry(limit: int | None) -> RetryHeartbeatStaleTrialCallback:
    with _experimental():
        # The curve stays, because the trial goes on from its checkpoint, or else repeats it.
        return RetryHeartbeatStaleTrialCallback(max_retry=limit, inherit_intermediate_values=True)


def _storage(plan: Plan) -> RDBStorage:
    url = make_url(plan.storage)
    sqlite = url.get_backend_name() == "sqlite"
    if sqlite and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    with _experimental():
        return RDBStorage(
            plan.storage,
            engine_kwargs={"connect_args": {"timeout": LOCK_S}} if sqlite else {"pool_pre_ping": True},
            heartbeat_interval=plan.heartbeat_s,
            grace_period=GRACE * plan.heartbeat_s,
            heartbeat_stale_trial_callback=_retry(RETRIES),
        )


@contextmanager
def _experimental() -> Iterator[None]:
    """Signs of life, and what follows from their absence, may change in a later Optuna; tests would tell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


def _age(trial: FrozenTrial) -> float:
    return (datetime.now() - trial.datetime_start).total_seconds()


def _retried(make: Callable[[], RDBStorage], attempts: int = 10) -> RDBStorage:
    """Processes that open an empty database at once make its tables all at once, and all but one fail."""
    for _ in range(attempts - 1):
        try:
            return make()
        except (IntegrityError, ProgrammingError, OperationalError) as error:
            if isinstance(error, OperationalError) and "exists" not in str(error):
                raise
            time.sleep(0.2)
    return make()


def _check_identity(study: Study, plan: Plan) -> None:
    known = study.user_attrs
    for name, value in plan.identity().items():
        if known.setdefault(name, value) != value:
            raise ConfigError(
                f"study {plan.study} in {without_password(plan.storage)} is of another {name}, {known[name]}; "
                "give that command to go on with it, or start another with search.study=<name>"
            )
    for name in plan.identity().keys() - study.user_attrs.keys():
        study.set_user_attr(name, known[name])
