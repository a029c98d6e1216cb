"""Progress on a terminal and elsewhere, and the estimate of a whole run."""

import logging
from types import SimpleNamespace

import pytest
from toy_task import toy_config

from longrange.training import progress as module
from longrange.training import train
from longrange.training.progress import EpochLog, RunClock, RunProgressBar, progress


def started_clock(monkeypatch, global_step):
    """A clock that starts at 0 s in a run of 100 steps, the run's trainer, and the time in a list."""
    now = [0.0]
    monkeypatch.setattr(module, "perf_counter", lambda: now[0])
    trainer = SimpleNamespace(global_step=global_step, estimated_stepping_batches=100)
    clock = RunClock()
    clock.start(trainer)
    return clock, trainer, now


def test_estimate_is_of_the_whole_run(monkeypatch):
    """A run of 100 steps resumed at 20: 10 s for 10 steps leave 70 s."""
    clock, trainer, now = started_clock(monkeypatch, global_step=20)
    assert clock.left(trainer) == "?"
    now[0], trainer.global_step = 10.0, 30
    assert clock.left(trainer) == "0:01:10"


def test_estimate_rests_on_the_steps_after_the_first(monkeypatch):
    """A first step of 60 s, then 9 of 1 s each: the other 90 take 90 s."""
    clock, trainer, now = started_clock(monkeypatch, global_step=0)
    now[0] = 30.0
    clock.step(trainer)  # a batch of several that make the step
    assert clock.left(trainer) == "?"
    now[0], trainer.global_step = 60.0, 1
    clock.step(trainer)
    assert clock.left(trainer) == "1:39:00"
    for _ in range(9):
        now[0], trainer.global_step = now[0] + 1, trainer.global_step + 1
        clock.step(trainer)
    assert clock.left(trainer) == "0:01:30"


def test_bar_on_a_terminal_only(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert isinstance(progress(), RunProgressBar)
    monkeypatch.delenv("FORCE_COLOR")
    assert isinstance(progress(), EpochLog)


def test_a_stage_of_a_run_has_its_name_on_its_bar():
    bar = RunProgressBar("pretraining")
    bar._trainer = SimpleNamespace(max_epochs=3)
    assert bar._get_train_description(0) == "Pretraining epoch 1/3"


def test_bar_shows_speed_and_estimate(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    train(toy_config(tmp_path))
    shown = capsys.readouterr().out
    assert "Epoch 1/2" in shown
    for part in ("samples/s", "run ends in", "val/accuracy", "loss"):
        assert part in shown


def test_a_long_epoch_says_how_far_it_is(monkeypatch, caplog, tmp_path):
    monkeypatch.setattr(module, "_PAUSE", -1.0)
    caplog.set_level("INFO")
    train(toy_config(tmp_path))
    told = [record.getMessage() for record in caplog.records if record.name == module.__name__]
    steps = [line for line in told if "step 2/" in line]
    assert len(steps) == 2
    for part in ("epoch 1/2  step 2/", "loss ", "samples/s", "run ends in"):
        assert part in steps[0]


def test_a_short_epoch_is_one_line(caplog, tmp_path):
    caplog.set_level("INFO")
    train(toy_config(tmp_path))
    told = [record.getMessage() for record in caplog.records if record.name == module.__name__]
    assert [line.partition("  ")[0] for line in told] == ["epoch 1/2", "epoch 2/2"]
    assert all("val/accuracy" in line for line in told)


@pytest.mark.parametrize("what", ["validation", "test"])
def test_a_long_validation_says_how_far_it_is(monkeypatch, caplog, what):
    now, log = [0.0], EpochLog()
    monkeypatch.setattr(module, "perf_counter", lambda: now[0])
    trainer = SimpleNamespace(num_val_batches=[8], num_test_batches=[8])
    caplog.set_level(logging.INFO)
    getattr(log, f"on_{what}_start")(trainer, None)
    for batch in range(8):
        now[0] += 40.0
        getattr(log, f"on_{what}_batch_end")(trainer, None, None, None, batch)
    lines = [record.message for record in caplog.records]
    assert lines == [
        f"{what}  batch {done}/8  ends in 0:0{40 * (8 - done) // 60}:{40 * (8 - done) % 60:02}" for done in (2, 4, 6, 8)
    ]
