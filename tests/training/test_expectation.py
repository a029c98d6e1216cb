"""One line after the epochs for which something is expected: on course, behind, or still at chance."""

import logging
from types import SimpleNamespace

import pytest
import torch
from toy_task import InterruptedAtError, toy_config

from longrange.errors import ConfigError
from longrange.training import train
from longrange.training.build import build
from longrange.training.expectation import Expectation, is_behind


def classes(n=2, length=1024, **config):
    """A task module of n classes, as far as the callback looks at it."""
    return SimpleNamespace(
        metric="accuracy", mode="max", spec=SimpleNamespace(output_size=n, max_length=length), config=config
    )


REGRESSION = SimpleNamespace(metric="rmse", mode="min", spec=SimpleNamespace(output_size=1, max_length=4000), config={})


def run(expectation, task, values, *, first=0, rank=0, epochs=100):
    """One epoch for each value of the validation metric."""
    for epoch, value in enumerate(values, start=first):
        metrics = {f"val/{task.metric}": torch.tensor(value)}
        trainer = SimpleNamespace(
            callback_metrics=metrics, current_epoch=epoch, max_epochs=epochs, is_global_zero=rank == 0
        )
        expectation.on_train_epoch_end(trainer, task)


@pytest.fixture
def lines(caplog):
    """What was logged so far, (level, text) each."""
    caplog.set_level(logging.INFO, logger="longrange.training.expectation")
    return lambda: [(r.levelname, r.message) for r in caplog.records if r.name.endswith("expectation")]


@pytest.mark.parametrize(
    ("task", "value", "expected", "behind"),
    [
        (classes(10), 0.47, 0.5, False),
        (classes(10), 0.45, 0.5, True),
        (classes(2), 0.87, 0.9, False),
        (classes(2), 0.85, 0.9, True),
        (REGRESSION, 1.6, 1.5, False),
        (REGRESSION, 1.7, 1.5, True),
        (REGRESSION, 0.3, 1.5, False),
    ],
)
def test_clearly_behind_is_a_tenth_of_the_way(task, value, expected, behind):
    assert is_behind(task, value, expected) == behind


def test_on_course_is_a_calm_line_about_the_best_epoch_so_far(lines):
    run(Expectation({3: 0.5}), classes(10), [0.2, 0.52, 0.3, 0.3])
    assert lines() == [("INFO", "on course after epoch 3: best val/accuracy 0.5200, expected by now 0.5000")]


def test_behind_names_what_the_command_changed_and_what_has_helped(lines):
    same = ["experiment=listops/s4", "trainer=gpu", "data.data_dir=/x", "model.recompute=true"]
    overrides = [*same, "data.batch_size=4", "epochs=50", "trainer.limit_train_batches=9"]
    task = classes(
        10,
        name={"experiment": "listops/s4", "overrides": overrides},
        optimizer={"lr": 0.01, "ssm_lr": 0.001},
        scheduler={"warmup_steps": 1000, "warmup_epochs": 1},
    )
    run(Expectation({1: 0.5}), task, [0.2])
    ((level, line),) = lines()
    assert level == "WARNING"
    assert line == (
        "behind after epoch 1: best val/accuracy 0.2000, expected by now 0.5000. This command changes the experiment "
        "(data.batch_size=4 epochs=50 trainer.limit_train_batches=9); what has helped others: a lower optimizer.ssm_lr "
        "(now 0.001), a longer warmup (scheduler.warmup_steps, now 1000), another seed"
    )


def test_regression_is_behind_above_its_rmse(lines):
    run(Expectation({1: 1.5, 2: 1.5}), REGRESSION, [3.0, 1.4])
    assert [line.split(" after")[0] for _, line in lines()] == ["behind", "on course"]


def test_still_at_chance_waits_for_the_rise_and_looks_at_the_time_steps(lines):
    task = classes(2, 16_384, model={"layer": {"dt_min": 0.001}})
    run(Expectation({2: 0.92}), task, [0.5, 0.51])
    ((_, line),) = lines()
    assert line.startswith("still at chance after epoch 2: best val/accuracy 0.5100, expected by now 0.9200. Runs can")
    assert "wait until epoch 4; for 16,384 steps, model.layer.dt_min=0.0001 model.layer.dt_max=0.1 (now 0.001)" in line


def test_advice_that_does_not_apply_is_left_out(lines):
    task = classes(2, 16_384, model={"layer": {"dt_min": 0.0001}}, optimizer={"lr": 0.1})
    run(Expectation({2: 0.92}), task, [0.5, 0.51], epochs=3)
    ((_, line),) = lines()
    assert line.endswith("by now 0.9200. What has helped others: a lower optimizer.lr (now 0.1), another seed")


def test_other_processes_are_silent_and_nothing_is_said_where_nothing_is_expected(lines):
    run(Expectation({1: 0.9}), classes(2), [0.5], rank=1)
    run(Expectation(None), classes(2), [0.5])
    assert lines() == []


def test_state_is_remembered(lines):
    first, second = Expectation({1: 0.9, 3: 0.9}), Expectation({1: 0.9, 3: 0.9})
    run(first, classes(2), [0.5, 0.95])
    second.load_state_dict(first.state_dict())
    run(second, classes(2), [0.6], first=2)
    assert [line.split(":")[0] for _, line in lines()] == ["still at chance after epoch 1", "on course after epoch 3"]


def test_a_resumed_training_says_what_an_uninterrupted_one_says(tmp_path, lines):
    def config(**more):
        cfg = toy_config(tmp_path, "expected={1: 0.01, 3: 0.01}", "epochs=3")
        cfg.callbacks.update(more)
        return cfg

    interrupt = {"_target_": "toy_task.InterruptAt", "epoch": 2, "batch": 1}
    with pytest.raises(InterruptedAtError):
        train(config(interrupt=interrupt))
    assert [line.split(":")[0] for _, line in lines()] == ["on course after epoch 1"]
    resumed = config()
    resumed.resume = "last"
    train(resumed)
    assert [line.split(":")[0] for _, line in lines()] == ["on course after epoch 1", "on course after epoch 3"]


@pytest.mark.parametrize("expected", ["abc", {0: 0.5}, {"x": 0.5}, {1: "half"}])
def test_what_is_no_curve_is_refused(expected):
    config = {"_target_": "longrange.training.expectation.Expectation", "expected": expected}
    with pytest.raises(ConfigError, match="expected="):
        build(config)
