"""A search as its user meets it: real trainings, a worker killed, the best point trained again."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from longrange import training
from longrange.cli import CONFIG_DIR, compose
from longrange.tuning.plan import read_plan
from longrange.tuning.study import REASON, history, open_study
from longrange.tuning.tune import tune

SPACE = {"optimizer.lr": {"float": [1e-3, 1e30], "log": True}, "model.layer.n_blocks": {"choices": [2, 3]}}
GOOD, IMPOSSIBLE, DIVERGING = [
    {"optimizer.lr": lr, "model.layer.n_blocks": blocks} for lr, blocks in ((0.01, 2), (0.01, 3), (1e30, 2))
]


@pytest.fixture
def search_of(search):
    """A search whose first points are given."""

    def given(*points: dict):
        cfg = search(f"search.trials={len(points)}", space=SPACE)
        study = open_study(read_plan(cfg))
        for point in points:
            study.enqueue_trial(point)
        return cfg, study

    return given


def test_a_search_records_every_end_and_writes_the_best(search_of, tmp_path, capsys):
    cfg, study = search_of(GOOD, IMPOSSIBLE, DIVERGING)
    assert tune(cfg) == 0
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL]
    assert "n_blocks=3" in study.trials[1].user_attrs[REASON]
    assert "is not finite" in study.trials[2].user_attrs[REASON]
    shown = capsys.readouterr().out
    assert "1 complete, 2 failed\nbest: val/accuracy " in shown
    assert f"{study.best_value:.4f}" in shown

    folder = tmp_path / "search"
    best = compose("train", [f"hydra.searchpath=[file://{folder}]", "experiment=best_quickstart"], folder)
    assert (best.optimizer.lr, best.model.layer.n_blocks, best.model.d_model) == (0.01, 2, 8)
    (record,) = folder.glob("trials/*/result.json")
    assert record.parent.name.startswith("0-")

    assert tune(cfg) == 0  # nothing is left to do
    assert len(study.trials) == 3


def test_a_bad_curve_is_pruned(search_of):
    cfg, study = search_of(GOOD, GOOD)
    study.add_trial(
        optuna.create_trial(  # after the first epoch, nothing compares well with this
            state=TrialState.COMPLETE,
            value=1.0,
            params=GOOD,
            distributions=read_plan(cfg).space,
            intermediate_values={0: 1.0, 1: 1.0},
        )
    )
    cfg.search.trials = 3
    cfg.search.pruner = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 1}
    assert tune(cfg) == 0
    pruned = study.trials[0]
    assert (pruned.state, pruned.user_attrs[REASON]) == (TrialState.PRUNED, "after epoch 1/2")


def killed_in_a_trial(command: list[str], folder: Path) -> None:
    """Run a search, and kill it with all its workers in the second epoch of a trial, after another one has ended."""
    process = subprocess.Popen(
        command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    seen, ended = [], False
    for line in process.stdout:
        seen.append(line)
        ended = ended or "complete: " in line
        if ended and "epoch 2/" in line:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert ended, "".join(seen)


@pytest.mark.slow
def test_a_search_of_two_workers_that_is_killed_goes_on(arguments, tmp_path, monkeypatch):
    arguments = [*arguments, "search.trials=4", "epochs=6", f"paths.outputs={tmp_path}/outputs"]
    arguments += ["search.pruner._target_=optuna.pruners.NopPruner", "~search.pruner.n_startup_trials"]
    arguments += ["~search.pruner.n_warmup_steps"]
    script = CONFIG_DIR.parent / "scripts" / "tune.py"
    killed_in_a_trial([sys.executable, str(script), "workers=2", *arguments], tmp_path)

    cfg = compose("tune", arguments, tmp_path / "outputs" / "tune" / "quickstart")
    study = optuna.load_study(study_name="quickstart", storage=cfg.storage)
    before = {trial.number: trial for trial in study.trials}
    finished = [trial.number for trial in before.values() if trial.state is TrialState.COMPLETE]
    left = [trial for trial in before.values() if trial.state is TrialState.RUNNING]
    assert finished
    assert left

    monkeypatch.chdir(tmp_path)
    assert tune(cfg) == 0
    after = optuna.load_study(study_name="quickstart", storage=cfg.storage).trials
    assert sum(trial.state is TrialState.COMPLETE for trial in after) == 4
    for number in finished:
        assert after[number] == before[number]
    for trial in left:
        (again,) = [other for other in after if history(other)[-1:] == [trial.number]]
        assert trial.params.items() <= again.params.items()
    logs = [log.read_text() for log in (tmp_path / "outputs").rglob("trial.log")]
    assert sum("last.ckpt: going on after epoch" in log for log in logs) >= 1


def test_the_best_point_is_that_of_the_best_validation_score(search_of, tmp_path, monkeypatch):
    """Made-up scores: of two points the second one is better in validation, the first one in the test."""
    cfg, study = search_of(GOOD, GOOD | {"optimizer.lr": 0.02})
    cfg.search.pruner, train = {"_target_": "optuna.pruners.NopPruner"}, training.train

    def scored(cfg, *watchers):
        accuracy = {0.01: 0.25, 0.02: 0.5}[cfg.optimizer.lr]
        return replace(
            train(cfg, *watchers), metrics={"val": {"accuracy": accuracy}, "test": {"accuracy": 1 - accuracy}}
        )

    monkeypatch.setattr(training, "train", scored)
    assert tune(cfg) == 0
    assert study.best_value == 0.5
    folder = tmp_path / "search"
    assert (
        compose("train", [f"hydra.searchpath=[file://{folder}]", "experiment=best_quickstart"], folder).optimizer.lr
        == 0.02
    )
