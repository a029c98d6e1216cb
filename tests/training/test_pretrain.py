"""The stage before a training: what it learns, what the training takes from it, and what an interruption costs."""

import csv
import dataclasses
import logging
from contextlib import contextmanager

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from toy_task import SIZES, InterruptedAtError, ToySplit, ToyTask, toy_config

from longrange.cli import CONFIG_DIR, compose
from longrange.data.batch import Batch
from longrange.diagnose import group_options
from longrange.errors import CheckpointError, ConfigError, DivergedError
from longrange.models import TaskSpec
from longrange.results.record import build_record
from longrange.training import train
from longrange.training.pretrain_task import PretrainingTask

EPOCHS = 5
FAST = ["optimizer.lr=0.03", "optimizer.ssm_lr=0.01", "pretrain.scheduler.warmup_epochs=0", f"pretrain.epochs={EPOCHS}"]
MASKED = ["pretrain=masked", "pretrain.objective.ratio=0.3", *FAST]
CAUSAL = ["pretrain=causal", "model.layer.bidirectional=false", *FAST]


class Vectors(ToyTask):
    """Two channels instead of ids, all sequences equally long."""

    @property
    def spec(self):
        return TaskSpec("vectors", "continuous", input_size=2, output_size=3, max_length=12)

    def split(self, name):
        return VectorSplit(list(SIZES).index(name), SIZES[name])


class VectorSplit(ToySplit):
    """A level for each class, upwards in one channel and downwards in the other."""

    def __getitems__(self, indices):
        targets = self.targets[indices]
        levels = (targets - 1.0).view(-1, 1, 1) * torch.tensor([1.0, -1.0])
        return Batch(levels + 0.1 * self.inputs[indices].unsqueeze(-1), None, targets)


class Pairs(ToyTask):
    """Are two sequences of the same class?"""

    @property
    def spec(self):
        return dataclasses.replace(super().spec, output_size=2, paired=True)

    def split(self, name):
        return PairSplit(list(SIZES).index(name), SIZES[name])


class PairSplit(ToySplit):
    """Each example with its neighbour."""

    def __getitems__(self, indices):
        rows = torch.tensor([*indices, *((i + 1) % len(self) for i in indices)])
        first, second = self.targets[rows].chunk(2)
        return Batch(self.inputs[rows], self.lengths[rows], (first == second).long())


class Snapshot(Callback):
    """Keeps the weights that a training begins with, and ends it."""

    def on_train_start(self, trainer, pl_module):
        Snapshot.weights = {name: tensor.clone() for name, tensor in pl_module.model.state_dict().items()}
        raise InterruptedAtError


@contextmanager
def killed_at(epoch):
    """Within it, a stage ends at the fourth batch of an epoch, as a killed process would, and the run with it."""

    def step(module, batch, batch_idx):
        if (module.current_epoch, batch_idx) == (epoch, 3):
            raise InterruptedAtError
        return original(module, batch, batch_idx)

    original = PretrainingTask.training_step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PretrainingTask, "training_step", step)
        with pytest.raises(InterruptedAtError):
            yield


def no_step(module, batch, batch_idx):
    raise AssertionError("the stage trains again")


def begins_with(run_dir, *overrides):
    """The weights that the training of a command begins with."""
    cfg = toy_config(run_dir, *overrides)
    cfg.callbacks.snapshot = {"_target_": f"{__name__}.Snapshot"}
    with pytest.raises(InterruptedAtError):
        train(cfg)
    return Snapshot.weights


def weights(checkpoint):
    tensors = torch.load(checkpoint, weights_only=True)["state_dict"]
    return {name.removeprefix("model."): tensor for name, tensor in tensors.items()}


def stage_table(run_dir):
    with (run_dir / "pretrain" / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def same_end(run, other):
    """Whether two runs agree to the bit, from the stage's first epoch to the test."""
    for stage in ("pretrain", ""):
        ours, theirs = (weights(each.run_dir / stage / "checkpoints" / "last.ckpt") for each in (run, other))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    stages = [dataclasses.replace(each.pretraining, wall_s=0.0, resumed=False) for each in (run, other)]
    return stages[0] == stages[1] and run.history == other.history and run.metrics == other.metrics


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    """A stage and a training in one go."""
    return train(toy_config(tmp_path_factory.mktemp("masked"), *MASKED))


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    """The same with the other objective."""
    return train(toy_config(tmp_path_factory.mktemp("causal"), *CAUSAL))


@pytest.mark.parametrize("objective", ["masked", "causal"])
def test_the_loss_falls_and_the_best_epoch_is_reported(objective, request):
    run = request.getfixturevalue(objective)
    rows = stage_table(run.run_dir)
    assert run.pretraining.objective == objective
    assert run.pretraining.epochs == len(rows) == EPOCHS
    losses = [row["pretrain/val/loss"] for row in rows]
    assert losses[-1] < 0.97 * losses[0] < 0.97 * 1.3
    best = run.pretraining.best_epoch
    assert best == losses.index(min(losses))
    assert run.pretraining.loss["val"] == pytest.approx(losses[best], rel=1e-6)
    assert run.pretraining.loss["train"] == pytest.approx(rows[best]["pretrain/train/loss"], rel=1e-6)
    assert run.pretraining.wall_s > 0


def test_the_curve_of_the_training_has_nothing_of_the_stage(masked):
    assert [row["epoch"] for row in masked.history] == [0, 1]
    assert not any("pretrain" in name for row in masked.history for name in row)
    assert "pretrain" not in (masked.run_dir / "metrics.csv").read_text()
    assert masked.metrics.keys() == {"train", "val", "test"}


def test_the_training_begins_with_the_best_weights_of_the_stage(tmp_path):
    """All but the head, which is that of a training without a stage."""
    learned = begins_with(tmp_path / "learned", *MASKED)
    fresh = begins_with(tmp_path / "fresh")
    best = weights(tmp_path / "learned" / "pretrain" / "checkpoints" / "best.ckpt")
    assert learned.keys() == fresh.keys()
    for name in fresh:
        is_head = name.startswith("head.")
        torch.testing.assert_close(learned[name], (fresh if is_head else best)[name], rtol=0, atol=0)
    assert all((learned[name] != fresh[name]).any() for name in ("encoder.map.table", "blocks.1.layer.B"))


def test_an_interrupted_stage_goes_on_to_the_same_end(masked, tmp_path, caplog):
    with killed_at(epoch=2):
        train(toy_config(tmp_path, *MASKED))
    with caplog.at_level(logging.INFO, logger="longrange"):
        parts = train(toy_config(tmp_path, *MASKED, "resume=last"))
    assert f"going on after epoch 2/{EPOCHS} of the pretraining" in caplog.text
    assert same_end(masked, parts)
    assert (masked.pretraining.resumed, parts.pretraining.resumed) == (False, True)
    assert stage_table(masked.run_dir) == stage_table(tmp_path)


def test_a_stage_that_was_interrupted_in_its_first_epoch_has_no_checkpoint(tmp_path):
    with killed_at(epoch=0):
        train(toy_config(tmp_path, *MASKED))
    with pytest.raises(CheckpointError, match="this run has none yet, leave resume out to start it"):
        train(toy_config(tmp_path, *MASKED, "resume=last"))


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_finished_stage_is_not_repeated(masked, tmp_path, monkeypatch, epoch):
    """Whether the training that follows was interrupted before its first checkpoint or after it."""
    cfg = toy_config(tmp_path, *MASKED)
    cfg.callbacks.interrupt = {"_target_": "toy_task.InterruptAt", "epoch": epoch, "batch": 2}
    with pytest.raises(InterruptedAtError):
        train(cfg)
    monkeypatch.setattr(PretrainingTask, "training_step", no_step)
    assert same_end(masked, train(toy_config(tmp_path, *MASKED, "resume=last")))


def test_a_run_that_continues_another_keeps_its_origin(masked, tmp_path, monkeypatch):
    monkeypatch.setattr(PretrainingTask, "training_step", no_step)
    last = f"resume={masked.run_dir / 'checkpoints' / 'last.ckpt'}"
    assert train(toy_config(tmp_path, *MASKED, last)).pretraining == masked.pretraining
    for other in ("none", "masked"):
        with pytest.raises(CheckpointError, match=r"began with pretrain=masked \(ratio 0.3, span 1\), this one with"):
            train(toy_config(tmp_path, f"pretrain={other}", last))


def test_fewer_epochs_than_done_are_refused(tmp_path):
    with killed_at(epoch=2):
        train(toy_config(tmp_path, *MASKED))
    with pytest.raises(CheckpointError, match=r"2 epochs behind it, more than pretrain\.epochs=1"):
        train(toy_config(tmp_path, *MASKED, "pretrain.epochs=1", "resume=last"))


def test_the_record_says_what_the_training_began_with(masked):
    cfg = toy_config(masked.run_dir, *MASKED)
    record = build_record(masked, cfg)
    assert record["pretrain"] == "masked"
    assert record["pretraining"] == dataclasses.asdict(masked.pretraining)
    assert record["epochs"] == 2
    fresh = build_record(dataclasses.replace(masked, pretraining=None), cfg)
    assert fresh["pretrain"] is fresh["pretraining"] is None


def test_the_stage_has_lines_and_names_of_its_own(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="longrange"):
        train(toy_config(tmp_path, *MASKED, "logger=tensorboard"))
    lines = [record.message for record in caplog.records]
    stage = [line for line in lines if line.startswith("pretraining epoch ")]
    assert [line.split()[2] for line in stage] == [f"{epoch + 1}/{EPOCHS}" for epoch in range(EPOCHS)]
    assert all("val/loss" in line and "pretraining ends in 0:00:" in line for line in stage)
    assert sum(line.startswith("epoch ") for line in lines) == 2
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    counts = {tag: len(events.Scalars(tag)) for tag in events.Tags()["scalars"]}
    assert {counts[f"pretrain/{name}"] for name in ("train/loss", "val/loss", "lr")} == {EPOCHS}
    assert {counts[name] for name in ("train/loss", "val/loss", "val/accuracy", "lr")} == {2}


@pytest.mark.parametrize(("data", "command"), [(Vectors, MASKED), (Vectors, CAUSAL), (Pairs, MASKED)])
def test_channels_and_pairs(tmp_path, data, command):
    cfg = toy_config(tmp_path, *command, "epochs=1")
    cfg.data._target_ = f"{__name__}.{data.__name__}"
    train(cfg)
    losses = [row["pretrain/val/loss"] for row in stage_table(tmp_path)]
    assert losses[-1] < 0.97 * losses[0]


@pytest.mark.parametrize(
    ("model", "command"),
    [
        ("s4", ["optimizer=s4", "pretrain=masked"]),
        ("s4d", ["optimizer=s4", "pretrain=masked", "pretrain.objective.span=3"]),
        ("s4d", ["optimizer=s4", "pretrain=causal", "model.layer.bidirectional=false"]),
        ("lssl", ["optimizer=lssl", "pretrain=causal"]),
    ],
)
def test_every_model_and_its_optimizer(tmp_path, model, command):
    sizes = ["model.d_model=8", "model.n_layers=2", "model.layer.d_state=8"]
    cfg = compose("train", [f"model={model}", *sizes, *command, "trainer=debug"], run_dir=tmp_path)
    cfg.data = {"_target_": "toy_task.ToyTask", "batch_size": 8, "seed": 0}
    assert train(cfg).pretraining.epochs == 1


def trained_together(folder):
    """What one of two processes has at the end."""
    processes = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    return train(toy_config(folder / str(torch.distributed.get_rank()), *MASKED, *processes))


def test_two_processes_share_the_stage_and_the_training_after_it(processes, tmp_path):
    first, second = processes.call(trained_together, tmp_path)
    losses = [row["pretrain/val/loss"] for row in stage_table(tmp_path / "0")]
    assert losses[-1] < 0.97 * losses[0]
    assert second.pretraining.loss == first.pretraining.loss
    assert second.metrics == first.metrics
    assert not list((tmp_path / "1").rglob("*.ckpt"))


def test_a_model_that_reads_backwards_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(ConfigError, match=r"pretrain=causal: .*add model\.layer\.bidirectional=false"):
        train(toy_config(tmp_path, "pretrain=causal"))
    assert not (tmp_path / "pretrain").exists()


@pytest.mark.parametrize(
    ("epochs", "rule"), [("0", "at least 1"), ("null", "a whole number"), ("1.5", "a whole number")]
)
def test_no_epochs_are_refused(tmp_path, epochs, rule):
    with pytest.raises(ConfigError, match=rf"pretrain\.epochs={epochs}: must be {rule}"):
        train(toy_config(tmp_path, "pretrain=masked", f"pretrain.epochs={epochs}"))


def test_no_objective_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"pretrain\.objective: must be Masked or Causal"):
        train(toy_config(tmp_path, "pretrain=masked", "pretrain.objective=null"))


def test_a_diverging_stage_stops(tmp_path):
    with pytest.raises(DivergedError, match="is the first"):
        train(toy_config(tmp_path, "pretrain=masked", "optimizer.lr=1e30", "optimizer.weight_decay=0"))


@pytest.mark.parametrize("task", [task for task in group_options(CONFIG_DIR, "data") if task != "own"])
def test_every_task_has_a_ratio(task):
    cfg = compose("train", [f"data={task}", "pretrain=masked"])
    assert cfg.pretrain.objective.ratio == cfg.pretrain.published[task]


def test_every_epoch_of_the_stage_is_asked_the_same(tmp_path):
    """At a rate of zero nothing is learnt, and the loss on the hidden steps stays what it is."""
    still = ["optimizer.lr=0", "optimizer.ssm_lr=0", "model.block.norm=layer"]
    train(toy_config(tmp_path, *MASKED, *still, "epochs=1"))
    with (tmp_path / "pretrain" / "metrics.csv").open(newline="") as file:
        losses = [float(row["pretrain/val/loss"]) for row in csv.DictReader(file)]
    assert losses == pytest.approx([losses[0]] * EPOCHS)


def test_the_training_begins_with_the_best_epoch_of_the_stage(tmp_path, monkeypatch):
    """Which is made to be the first one."""

    def worse_and_worse(self, batch, batch_idx):
        self.log_mean("val/loss", torch.tensor(float(self.current_epoch)), 1)

    monkeypatch.setattr(PretrainingTask, "validation_step", worse_and_worse)
    with pytest.raises(InterruptedAtError):
        train(toy_config(tmp_path, *MASKED, "epochs=1"), Snapshot())
    best, last = (
        torch.load(tmp_path / "pretrain" / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
        for name in ("best", "last")
    )
    assert torch.equal(Snapshot.weights["blocks.0.layer.B"], best["model.blocks.0.layer.B"])
    assert not torch.equal(best["model.blocks.0.layer.B"], last["model.blocks.0.layer.B"])
