"""Places of a study: none is lost with a process, and none is given twice."""

import dataclasses
import time

import optuna
import pytest
from optuna.trial import TrialState

from longrange.errors import ConfigError, DataError
from longrange.tuning import worker
from longrange.tuning.objective import InterruptedTrialError, PointFailedError
from longrange.tuning.plan import Plan
from longrange.tuning.space import read_space, suggest
from longrange.tuning.study import (
    REASON,
    SURPLUS,
    begin,
    find_lost,
    find_orphans,
    history,
    open_study,
    placed,
    without_password,
)
from longrange.tuning.table import counts

pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed to be used with Study.optimize")


@pytest.fixture
def plan(tmp_path):
    """Four trials over one number, in an SQLite file."""
    return Plan(
        study="numbers",
        storage=f"sqlite:///{tmp_path}/study.db",
        trials=4,
        space=read_space({"x": {"float": [0.0, 1.0]}}),
        overrides=("experiment=quickstart",),
        metric="accuracy",
        direction="maximize",
        folder=tmp_path,
        seed=0,
        heartbeat_s=1,
        settings={
            "seed": 0,
            "sampler": {"_target_": "optuna.samplers.RandomSampler"},
            "pruner": {"_target_": "optuna.pruners.NopPruner"},
        },
    )


@pytest.fixture
def train(monkeypatch, plan):
    """Replace the training by a function of the trial's number and its point; returns what was trained."""
    trained = []

    def use(what):
        def objective(trial, stored, plan, say):
            trial.study.sampler = plan.sampler(history(stored)[0] if history(stored) else trial.number)
            begin(trial)
            point = suggest(trial, plan.space)["x"]
            trained.append((trial.number, point))
            return what(trial, point)

        monkeypatch.setattr(worker, "objective", objective)
        return trained

    return use


def taken(study: optuna.Study, plan: Plan) -> optuna.Trial:
    """A trial that another process has begun."""
    trial = study.ask()
    begin(trial)
    suggest(trial, plan.space)
    study._storage.record_heartbeat(trial._trial_id)
    return trial


def test_a_worker_fills_the_places_and_no_more(plan, train):
    trained = train(lambda trial, x: x)
    worker.work(plan)
    worker.work(plan)
    study = open_study(plan)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4
    assert len({x for _, x in trained}) == 4
    worker.work(dataclasses.replace(plan, trials=5))
    assert len(study.trials) == 5


def test_a_search_that_goes_on_proposes_what_an_uninterrupted_one_would(plan, train, tmp_path):
    trained = train(lambda trial, x: x)
    worker.work(dataclasses.replace(plan, trials=2))
    worker.work(plan)
    parts, trained[:] = list(trained), []
    worker.work(dataclasses.replace(plan, storage=f"sqlite:///{tmp_path}/other.db"))
    assert parts == trained


def test_failures_and_pruned_trials_keep_their_places_and_say_why(plan, train):
    def training(trial, x):
        if trial.number == 1:
            trial.set_user_attr(REASON, "the loss is nan")
            raise PointFailedError
        if trial.number == 2:
            raise optuna.TrialPruned
        return x

    train(training)
    worker.work(plan)
    study = open_study(plan)
    assert counts(study) == "2 complete, 1 pruned, 1 failed"
    assert study.trials[1].user_attrs[REASON] == "the loss is nan"


def test_a_lost_trials_point_is_run_again(plan, train, monkeypatch):
    monkeypatch.setattr("longrange.tuning.study.GRACE", 1)
    study = open_study(plan)
    lost = taken(study, plan)
    time.sleep(2.1)  # the database counts whole seconds
    trained = train(lambda trial, x: x)
    worker.work(plan)
    trials = study.trials
    assert [trial.number for trial in placed(study)] == [1, 2, 3, 4]
    assert (trials[0].state, trials[1].state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert trials[1].params == lost.params
    assert trained[0] == (1, lost.params["x"])
    assert history(trials[1]) == [0]


def test_a_worker_waits_for_the_trials_of_others(plan, train, monkeypatch, capsys):
    study = open_study(plan)
    other = taken(study, plan)
    monkeypatch.setattr(worker.time, "sleep", lambda seconds: study.tell(other, 0.5))
    train(lambda trial, x: x)
    worker.work(plan)
    assert "waiting for trial 0 of other workers" in capsys.readouterr().out
    assert len(study.trials) == 4


def test_a_trial_without_a_sign_of_life_is_found_too(plan, monkeypatch):
    study = open_study(plan)
    study.ask()
    find_lost(study, plan)
    assert counts(study) == "1 running"
    monkeypatch.setattr("longrange.tuning.study._age", lambda trial: 5.0)
    find_lost(study, plan)
    assert counts(study) == "1 waiting"


def test_a_point_that_was_found_lost_but_not_queued_is_queued(plan):
    study = open_study(plan)
    trial = taken(study, plan)
    study.tell(trial, state=TrialState.FAIL)
    find_orphans(study)
    find_orphans(study)
    assert counts(study) == "1 waiting"
    assert study.trials[1].params == trial.params


def test_a_point_that_kills_its_process_is_given_up(plan):
    study = open_study(plan)
    for _ in range(20):
        find_orphans(study)
        if any(trial.state is TrialState.FAIL for trial in placed(study)):
            break
        study.tell(taken(study, plan), state=TrialState.FAIL)
    assert counts(study) == "1 failed"
    assert len(study.trials) == 6


def test_an_interrupted_trial_is_run_again(plan, train):
    def training(trial, x):
        if trial.number == 1:
            raise InterruptedTrialError
        return x

    trained = train(training)
    with pytest.raises(KeyboardInterrupt):
        worker.work(plan)
    assert counts(open_study(plan)) == "1 complete, 1 waiting"
    worker.work(plan)
    assert counts(open_study(plan)) == "4 complete"
    assert trained[1][1] == trained[2][1]


def test_a_mistake_in_the_data_stops_the_search_and_costs_no_place(plan, train):
    def training(trial, x):
        raise DataError("basic_train.tsv, row 2: one column")

    train(training)
    with pytest.raises(DataError, match="row 2"):
        worker.work(plan)
    assert counts(open_study(plan)) == "1 waiting"


def test_a_search_of_nothing_but_one_failure_stops(plan, train):
    def training(trial, x):
        trial.set_user_attr(REASON, "trainer: no GPU")
        raise PointFailedError

    train(training)
    with pytest.raises(ConfigError, match="all 3 trials failed for the same reason: trainer: no GPU"):
        worker.work(plan)


def test_a_trial_that_another_worker_took_for_dead_gives_way(plan, train, capsys):
    def training(trial, x):
        if trial.number == 0:  # another worker finds it silent
            stored = trial.study.trials[0]
            trial.study.tell(0, state=TrialState.FAIL)
            worker.run_again(trial.study, stored)
        return x

    trained = train(training)
    worker.work(plan)
    assert "took this one for dead" in capsys.readouterr().out
    assert counts(open_study(plan)) == "4 complete"
    assert trained[0][1] == trained[1][1]


def test_of_two_workers_at_the_last_place_one_gives_way(plan, train):
    study = open_study(plan)
    trained = train(lambda trial, x: x)
    worker.work(dataclasses.replace(plan, trials=3))
    taken(study, plan)  # between this worker's look at the places and its own trial
    worker._run_one(study, plan, worker.speaker())
    assert len(trained) == 3
    assert SURPLUS in study.trials[4].user_attrs
    assert [trial.number for trial in placed(study)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "other",
    [
        {"space": read_space({"x": {"float": [0.0, 2.0]}})},
        {"overrides": ("experiment=quickstart", "epochs=3")},
    ],
)
def test_another_search_does_not_join(plan, other):
    open_study(plan)
    with pytest.raises(ConfigError, match=r"search\.study=<name>"):
        open_study(dataclasses.replace(plan, **other))


def test_a_search_joins_whatever_logs_it(plan):
    open_study(plan)
    open_study(dataclasses.replace(plan, overrides=(*plan.overrides, "logger=wandb", "paths.data=/data")))


@pytest.mark.parametrize(
    "storage",
    ["no-url", "sqlite:////proc/no/study.db", "nosuchdb://host/x", "postgresql+psycopg://me:secret@localhost:1/x"],
)
def test_a_storage_that_cannot_be_used_gets_one_line(plan, storage):
    with pytest.raises(ConfigError) as refused:
        open_study(dataclasses.replace(plan, storage=storage))
    line = str(refused.value)
    assert line.startswith("storage")
    assert "\n" not in line
    assert "secret" not in line


def test_passwords_are_not_shown():
    assert without_password("postgresql+psycopg://me:secret@host/x") == "postgresql+psycopg://me:***@host/x"
