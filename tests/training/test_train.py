"""A whole training: what it returns, that it repeats to the bit, and that an interruption changes nothing."""

import csv
import logging
import math

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from toy_task import SIZES, InterruptedAtError, ToySplit, toy_config

from longrange.errors import CheckpointError, ConfigError, DivergedError
from longrange.training import train


def last_checkpoint(run_dir):
    return torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)


def interrupted(run_dir, epoch, batch, *overrides):
    """Run until the start of a batch, then stop."""
    cfg = toy_config(run_dir, "epochs=4", *overrides)
    cfg.callbacks.interrupt = {"_target_": "toy_task.InterruptAt", "epoch": epoch, "batch": batch}
    with pytest.raises(InterruptedAtError):
        train(cfg)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Four epochs in one go."""
    run_dir = tmp_path_factory.mktemp("straight")
    return train(toy_config(run_dir, "epochs=4"))


def test_outcome_is_complete(straight):
    assert [row["epoch"] for row in straight.history] == [0, 1, 2, 3]
    assert straight.metric == "accuracy"
    best = max(straight.history, key=lambda row: row["val/accuracy"])  # the first of equals
    assert straight.best_epoch == best["epoch"]
    assert straight.metrics["val"] == {"accuracy": best["val/accuracy"], "loss": best["val/loss"]}
    assert straight.metrics["train"].keys() == straight.metrics["test"].keys() == {"accuracy", "loss"}
    assert straight.best_checkpoint.is_file()
    assert (straight.protocol, straight.precision, straight.backend) == ("heldout", "32-true", "cpu")
    assert straight.samples_per_s > 0 < straight.wall_s
    assert straight.peak_memory_bytes > 50e6
    assert straight.resumed_from is None


def test_outcome_counts(straight):
    test = ToySplit(list(SIZES).index("test"), SIZES["test"])
    assert straight.baseline == pytest.approx(torch.bincount(test.targets).max().item() / SIZES["test"])
    weights = last_checkpoint(straight.run_dir)["state_dict"]
    trained = [name for name in weights if "running" not in name and "tracked" not in name]
    assert straight.n_parameters == sum(weights[name].numel() for name in trained)


def test_tf32_is_float32_on_a_cpu_and_the_record_says_so(straight, tmp_path):
    again = train(toy_config(tmp_path, "epochs=4", "trainer.precision=tf32"))
    assert again.precision == "32-true"
    assert again.history == straight.history


def test_two_runs_agree_to_the_bit(straight, tmp_path):
    again = train(toy_config(tmp_path, "epochs=4"))
    assert again.history == straight.history
    assert again.metrics == straight.metrics


def test_another_seed_differs(straight, tmp_path):
    other = train(toy_config(tmp_path, "seed=1", "epochs=1"))
    assert other.history[0]["train/loss"] != straight.history[0]["train/loss"]


@pytest.mark.parametrize(
    ("batch", "scheduler"),
    [
        (0, ["scheduler=warmup_cosine"]),
        (5, ["scheduler=warmup_cosine"]),
        (5, ["scheduler=plateau", "scheduler.patience=0"]),
        (0, ["scheduler=multistep", "scheduler.milestones=[2,3]"]),
    ],
)
def test_resumed_run_equals_an_uninterrupted_one(tmp_path, batch, scheduler):
    whole = train(toy_config(tmp_path / "whole", "epochs=4", *scheduler))
    interrupted(tmp_path / "parts", 2, batch, *scheduler)
    parts = train(toy_config(tmp_path / "parts", "epochs=4", "resume=last", *scheduler))
    assert parts.resumed_from == tmp_path / "parts" / "checkpoints" / "last.ckpt"
    assert parts.history == whole.history
    assert parts.metrics == whole.metrics
    ours, theirs = last_checkpoint(tmp_path / "whole"), last_checkpoint(tmp_path / "parts")
    torch.testing.assert_close(ours["state_dict"], theirs["state_dict"], rtol=0, atol=0)
    moments = [checkpoint["optimizer_states"][0]["state"] for checkpoint in (ours, theirs)]
    torch.testing.assert_close(*moments, rtol=0, atol=0)
    tables = [(tmp_path / part / "metrics.csv").read_text() for part in ("whole", "parts")]
    assert tables[0] == tables[1]


def test_plateau_reduces_the_rate_in_time(tmp_path):
    """Next to nothing is learnt at this rate, so the first epoch stays the best and each later one reduces."""
    zero = ["optimizer.rules.global.lr=1e-6", "optimizer.rules.ssm.lr=1e-6", "epochs=4"]
    cfg = toy_config(tmp_path, "scheduler=plateau", "scheduler.patience=0", "scheduler.factor=0.5", *zero)
    cfg.model.block.norm = "layer"  # a batch norm's statistics would go on learning
    rates = [row["lr"] for row in train(cfg).history]
    assert rates == pytest.approx([1e-6, 1e-6, 0.5e-6, 0.25e-6], abs=0)


def test_continuing_another_run_keeps_its_best_epoch(tmp_path, straight):
    interrupted(tmp_path / "first", 2, 0)
    first = tmp_path / "first" / "checkpoints" / "last.ckpt"
    second = train(toy_config(tmp_path / "second", "epochs=4", f"resume={first}"))
    assert second.history == straight.history
    assert second.metrics == straight.metrics
    assert second.best_checkpoint.parent == tmp_path / "second" / "checkpoints"


def test_finished_run_has_nothing_left_to_train(tmp_path, caplog):
    done = train(toy_config(tmp_path))
    with caplog.at_level(logging.INFO, logger="longrange"):
        again = train(toy_config(tmp_path, "resume=last"))
    assert "all 2 epochs are done" in caplog.text
    assert again.history == done.history
    assert again.metrics == done.metrics
    assert again.samples_per_s == done.samples_per_s


def test_fewer_epochs_than_done_are_refused(tmp_path):
    train(toy_config(tmp_path))
    with pytest.raises(CheckpointError, match=r"2 epochs behind it, more than epochs=1"):
        train(toy_config(tmp_path, "resume=last", "epochs=1"))


def test_metrics_are_averages_over_examples(tmp_path):
    """21 validation examples in batches of 8 or in one: the same average."""
    ragged = toy_config(tmp_path / "ragged", "epochs=1")
    whole = toy_config(tmp_path / "whole", "epochs=1")
    whole.data.eval_batch_size = SIZES["val"]
    first, second = (train(cfg).metrics["val"] for cfg in (ragged, whole))
    assert first == pytest.approx(second, rel=1e-5)


def test_csv_has_one_row_per_epoch(straight):
    with (straight.run_dir / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    tested = {f"test/{name}": value for name, value in straight.metrics["test"].items()}
    for row, expected in zip(rows, straight.history, strict=True):
        selected = tested if expected["epoch"] == straight.best_epoch else {}
        written = {name: float(value) for name, value in row.items() if value}
        assert written == pytest.approx(expected | selected, rel=1e-6)


def test_log_without_a_terminal_has_a_line_per_epoch(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="longrange"):
        train(toy_config(tmp_path))
    lines = [record.message for record in caplog.records if record.message.startswith("epoch ")]
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    assert all("val/accuracy" in line and "samples/s" in line and "run ends in 0:00:" in line for line in lines)


def test_nan_names_the_parameter(tmp_path):
    cfg = toy_config(tmp_path)
    cfg.callbacks.spoil = {"_target_": "toy_task.Spoil", "parameter": "blocks.1.layer.log_step", "batch": 3}
    with pytest.raises(DivergedError, match=r"loss is nan at step 3, epoch 0: parameter blocks\.1\.layer\.log_step"):
        train(cfg)


def test_a_task_whose_order_would_not_depend_on_the_seed_is_refused(tmp_path):
    cfg = toy_config(tmp_path)
    del cfg.data.seed
    with pytest.raises(ConfigError, match=r"data\.seed: missing, .* needs the line `seed: \$\{seed\}`"):
        train(cfg)


def test_exploding_training_stops(tmp_path):
    with pytest.raises(DivergedError, match="is the first"):
        train(toy_config(tmp_path, "optimizer.lr=1e30", "optimizer.weight_decay=0", "scheduler=constant"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs=0", r"epochs=0: must be at least 1"),
        ("optimizer.lr=-1", "optimizer.lr=-1: must not be negative"),
        ("seed=-1", r"seed=-1: must not be negative"),
        ("optimizer.algorithm.eps=-1", r"optimizer\.algorithm: Invalid epsilon value: -1"),
        ("trainer.devices=-3", r"trainer: .*devices"),
        ("trainer.limit_test_batches=0", r"trainer\.limit_test_batches=0: must be above 0, or null for all"),
        ("scheduler.total_steps=0", r"scheduler\.total_steps=0: must be at least 1"),
    ],
)
def test_impossible_values_are_one_line(tmp_path, override, message):
    with pytest.raises(ConfigError, match=message) as error:
        train(toy_config(tmp_path, override))
    assert "\n" not in str(error.value)


class Forget(Callback):
    """Takes the head away before the validation of every epoch but the first."""

    def on_validation_start(self, trainer, pl_module):
        if trainer.current_epoch > 0:
            for parameter in pl_module.model.head.parameters():
                parameter.data.zero_()


def test_the_test_split_is_read_with_the_weights_of_the_best_epoch(tmp_path):
    first = train(toy_config(tmp_path / "first", "scheduler=constant", "epochs=1"))
    whole = train(toy_config(tmp_path / "whole", "scheduler=constant", "epochs=3"), Forget())
    assert whole.best_epoch == 0
    assert whole.metrics == first.metrics


def test_the_schedule_is_as_long_as_the_training(straight):
    """The global rate at the first step of four epochs of 8 steps: one of warmup, then half a cosine over three."""
    lr = last_checkpoint(straight.run_dir)["config"]["optimizer"]["lr"]
    shares = [1 / 8, *(0.5 * (1 + math.cos(math.pi * epoch / 3)) for epoch in range(3))]
    assert [row["lr"] for row in straight.history] == pytest.approx([lr * share for share in shares])


def test_gradients_are_clipped_under_bfloat16_too(tmp_path):
    """To nothing: the weights stay what they are, but for the decay that is turned off."""
    plain = ["epochs=1", "optimizer.weight_decay=0", "trainer.precision=bf16-mixed", "optimizer.lr=0.01"]
    norms = {}
    for value in (1e-12, 1.0):
        outcome = train(toy_config(tmp_path / str(value), *plain, f"trainer.gradient_clip_val={value}"))
        norms[value] = last_checkpoint(outcome.run_dir)["optimizer_states"][0]["state"][0]["exp_avg"].norm()
    assert norms[1e-12] < 1e-11
    assert norms[1.0] > 1e-6
