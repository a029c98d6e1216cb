"""Two processes, or batches computed in parts, give the training that one process gives with whole batches."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from toy_task import toy_config

from longrange.cli import CONFIG_DIR
from longrange.errors import ConfigError, DivergedError
from longrange.training import train
from longrange.training.outcome import Outcome

# Seven examples a batch: one process has four, the other three, of sequences between 6 and 12 steps; the evaluations
# (21 and 19 examples) end in a batch that is smaller than the others.
BATCH = 7
TWO = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]


def outcome(folder: Path, rank: int, *overrides: str, **data) -> Outcome:
    """Two epochs of the toy task."""
    cfg = toy_config(folder / str(rank), *overrides)
    cfg.data.update(batch_size=BATCH, eval_batch_size=5, **data)
    return train(cfg)


def trained_together(folder: Path, overrides: list[str], data: dict) -> Outcome:
    """What one of two processes has at the end."""
    return outcome(folder, torch.distributed.get_rank(), *TWO, *overrides, **data)


def weights(run: Outcome) -> dict[str, torch.Tensor]:
    return torch.load(run.run_dir / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def assert_same(ours: Outcome, theirs: Outcome) -> None:
    """Curves, test metrics and final weights, to float precision."""
    assert len(ours.history) == len(theirs.history) == 2
    for mine, other in zip(ours.history, theirs.history, strict=True):
        assert mine == pytest.approx(other, rel=2e-5)
    for split, metrics in theirs.metrics.items():
        assert ours.metrics[split] == pytest.approx(metrics, rel=2e-5)
    assert ours.baseline == pytest.approx(theirs.baseline)
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("overrides", "data"),
    [
        ([], {}),
        (["model.block.norm=layer", "accumulate=2", "scheduler=plateau", "scheduler.patience=0"], {"bucket": True}),
    ],
    ids=["batch norm", "layer norm, accumulated"],
)
def test_two_processes_equal_one(processes, tmp_path, overrides, data):
    alone = outcome(tmp_path, 9, *[override for override in overrides if "accumulate" not in override], **data)
    first, second = processes.call(trained_together, tmp_path, overrides, data)
    assert_same(first, alone)
    assert second.metrics == first.metrics
    assert second.best_checkpoint == first.best_checkpoint, "the first process writes for both"
    assert not list((tmp_path / "1").rglob("*.ckpt"))
    assert (first.processes, alone.processes) == (2, 1)


@pytest.mark.parametrize("accumulate", [2, 3])
def test_accumulated_parts_equal_the_whole_batch(tmp_path, accumulate):
    """With a layer norm; a batch norm has statistics of each part."""
    layer = "model.block.norm=layer"
    parts = outcome(tmp_path, 1, layer, f"accumulate={accumulate}")
    assert_same(parts, outcome(tmp_path, 2, layer))


def test_a_limit_of_batches_counts_whole_ones(tmp_path):
    """Two batches of seven, whether in one part or in three."""
    runs = [
        outcome(tmp_path, parts, "model.block.norm=layer", f"accumulate={parts}", "trainer.limit_train_batches=2")
        for parts in (1, 3)
    ]
    assert_same(*runs)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["accumulate=0"], r"accumulate=0: must be at least 1"),
        (["accumulate=8"], r"data\.batch_size=7: too few examples for 1 processes times accumulate=8"),
        (["accumulate=2", "trainer.limit_train_batches=0.5"], r"with accumulate=2 give a number of batches"),
    ],
)
def test_impossible_parts_are_one_line(tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        outcome(tmp_path, 0, *overrides)


def diverged(folder: Path) -> str:
    """What a process says when the loss of the first one, and of no other, becomes infinite."""
    rank = torch.distributed.get_rank()
    cfg = toy_config(folder / str(rank), *TWO)
    if rank == 0:
        cfg.callbacks.spoil = {"_target_": f"{__name__}.Explode"}
    with pytest.raises(DivergedError) as error:
        train(cfg)
    return str(error.value)


class Explode(Callback):
    """Makes the loss of one step infinite."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        pl_module.model.register_forward_hook(lambda model, inputs, outputs: outputs * float("inf"))


def test_processes_stop_together(processes, tmp_path):
    """One that went on would wait for the other for half an hour."""
    first, second = processes.call(diverged, tmp_path)
    assert first == second
    assert "training loss is nan at step 0, epoch 0" in first


@pytest.mark.slow
def test_torchrun_starts_a_training(tmp_path):
    """One run folder, one record, and what one process finds."""
    command = [
        *("experiment=quickstart", "data.recipe.train=60", "data.recipe.val=11", "data.recipe.test=11"),
        *("data.batch_size=15", "model.d_model=8", "model.n_layers=1", "epochs=1", "paths.data=data"),
    ]
    script = str(CONFIG_DIR.parent / "scripts" / "train.py")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    metrics = []
    for start in ([*torchrun, script, "trainer=ddp", "trainer.accelerator=cpu"], [sys.executable, script]):
        subprocess.run([*start, *command], cwd=tmp_path, check=True, capture_output=True)
        (record,) = set((tmp_path / "outputs").rglob("result.json")) - {path for path, _ in metrics}
        metrics.append((record, json.loads(record.read_text())))
    together, alone = (found for _, found in metrics)
    assert (together["processes"], alone["processes"]) == (2, 1)
    for split, values in alone["metrics"].items():
        assert together["metrics"][split] == pytest.approx(values, rel=1e-5)
    assert len(list((tmp_path / "outputs" / "listops_short" / "s5").iterdir())) == 2
