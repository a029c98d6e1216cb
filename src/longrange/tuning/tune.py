"""A search from its configuration to its best experiment: workers, table, file."""

import os
import shlex
import sys
from pathlib import Path

from omegaconf import DictConfig
from optuna import Study
from optuna.trial import TrialState

from longrange.errors import ConfigError
from longrange.tuning.best import write_experiment
from longrange.tuning.crew import run_workers
from longrange.tuning.plan import Plan, read_plan
from longrange.tuning.study import find_lost, find_orphans, open_study, placed, storage_errors, without_password
from longrange.tuning.table import counts, print_trials


def tune(cfg: DictConfig) -> int:
    """Run the trials that the study lacks, print all of them, and write the best one as an experiment.

    Args:
        cfg: as composed from configs/tune.yaml.
    Returns:
        Exit code: 0 where all places are done with, 130 where this process was asked to stop, 1 where workers ended
        before that; they have said why, if they could.
    Raises:
        ConfigError: the search cannot start, or no trial of it has completed.
    """
    plan = read_plan(cfg)
    with storage_errors(plan):
        study = open_study(plan)
        find_lost(study, plan)
        find_orphans(study)
        so_far = counts(study)
        _print(f"study {plan.study}: {plan.trials} trials{f', so far {so_far}' if so_far else ''}")
        _print(f"to look at it meanwhile: optuna-dashboard {without_password(plan.storage)}")
        interrupted = False
        try:
            for code in run_workers(plan, min(cfg.workers, left(study, plan))):
                _print(f"a worker ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}")
        except KeyboardInterrupt:
            interrupted = True
        finally:
            print_trials(study, plan)
        _print_end(study, plan)
    return 130 if interrupted else min(1, left(study, plan))


def left(study: Study, plan: Plan) -> int:
    """Places whose trials have not ended."""
    return plan.trials - sum(trial.state.is_finished() for trial in placed(study))


def _print_end(study: Study, plan: Plan) -> None:
    """Say what came out and how to go on."""
    _print(counts(study))
    complete = any(trial.state is TrialState.COMPLETE for trial in placed(study))
    if complete:
        best = study.best_trial
        _print(f"best: val/{plan.metric} {best.value:.4f}, trial {best.number}; {_write_best(study, plan)}")
        _print(f"to train it: {_train_command(plan)}")
    if left(study, plan) > 0:
        _print(f"to go on: python {shlex.join(sys.argv)}")
    elif not complete:
        raise ConfigError("no trial has completed; see the reasons above, and start afresh with search.study=<name>")


def _write_best(study: Study, plan: Plan) -> Path:
    best = study.best_trial
    comments = [
        _train_command(plan),
        f"Trial {best.number}, the best of {len(placed(study))} in the search {plan.study}: "
        f"val/{plan.metric} {best.value:.4f} with seed {plan.seed}.",
    ]
    return write_experiment(plan.command(best.params), comments, plan.folder, _best_name(plan))


def _train_command(plan: Plan) -> str:
    folder = shlex.quote(os.path.relpath(plan.folder))
    return f"python scripts/train.py --config-dir {folder} experiment={_best_name(plan)}"


def _best_name(plan: Plan) -> str:
    return f"best_{plan.study}"


def _print(line: str) -> None:
    """Before what the workers print next."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
