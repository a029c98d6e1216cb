"""What every task inherits: checked options, repeatable order, complete evaluation."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from longrange.data.batch import Batch
from longrange.data.module import SequenceDataModule
from longrange.errors import ConfigError
from longrange.models.spec import TaskSpec


class Numbers:
    """Examples that are their own number."""

    def __len__(self):
        return 10

    def __getitems__(self, indices):
        numbers = torch.tensor(indices)
        return Batch(numbers[:, None], None, numbers)


class Counting(SequenceDataModule):
    spec = TaskSpec("counting", "tokens", 10, 10, 1)

    def split(self, name):
        return Numbers()


class Uneven(Counting):
    """Example 0 has 10 steps, example 9 has one."""

    spec = TaskSpec("uneven", "tokens", 10, 10, 10, variable_length=True)

    def split(self, name):
        numbers = Numbers()
        numbers.steps = np.arange(10, 0, -1)
        return numbers


def targets(loader) -> list[list[int]]:
    return [batch.targets.tolist() for batch in loader]


def test_training_is_shuffled_and_drops_the_ragged_batch():
    batches = targets(Counting(batch_size=4, seed=1).train_dataloader())
    assert [len(batch) for batch in batches] == [4, 4]
    assert batches != [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert batches == targets(Counting(batch_size=4, seed=1).train_dataloader())


@pytest.mark.parametrize("loader", ["val_dataloader", "test_dataloader"])
def test_evaluation_is_in_order_and_complete(loader):
    assert targets(getattr(Counting(batch_size=4), loader)()) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert targets(getattr(Counting(batch_size=4, eval_batch_size=7), loader)()) == [[0, 1, 2, 3, 4, 5, 6], [7, 8, 9]]


def test_buckets_hold_neighbours_and_change_with_the_epoch():
    loader = Uneven(batch_size=4, seed=1, bucket=True).train_dataloader()
    epochs = []
    for epoch in range(6):
        loader.batch_sampler.sampler.set_epoch(epoch)
        epochs.append(targets(loader))
    assert all([len(batch) for batch in epoch] == [4, 4] for epoch in epochs)
    assert all(sorted(batch, reverse=True) == batch for epoch in epochs for batch in epoch)
    assert len({str(epoch) for epoch in epochs}) > 3


def test_bucketed_evaluation_goes_from_long_to_short_and_is_complete():
    task = Uneven(batch_size=4, bucket=True)
    assert targets(task.val_dataloader()) == targets(task.test_dataloader()) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize("loader", ["train_dataloader", "val_dataloader", "test_dataloader"])
def test_buckets_need_lengths(loader):
    with pytest.raises(ConfigError, match=r"data\.bucket=true: all sequences of counting are equally long"):
        getattr(Counting(batch_size=4, bucket=True), loader)()


def shares(loader: str, processes: int, accumulate: int, **options) -> list[list[list[int]]]:
    """The batches of each process."""
    found = []
    for rank in range(processes):
        task = Uneven(seed=1, **options)
        task.trainer = SimpleNamespace(world_size=processes, global_rank=rank, accumulate_grad_batches=accumulate)
        found.append(targets(getattr(task, loader)()))
    return found


@pytest.mark.parametrize(("processes", "accumulate"), [(2, 1), (1, 2), (2, 2), (5, 1), (1, 4)])
@pytest.mark.parametrize("bucket", [True, False])
def test_parts_of_a_batch_make_the_whole(processes, accumulate, bucket):
    whole = targets(Uneven(batch_size=5, seed=1, bucket=bucket).train_dataloader())
    parts = shares("train_dataloader", processes, accumulate, batch_size=5, bucket=bucket)
    for number, batch in enumerate(whole):
        mine = [share[number * accumulate : (number + 1) * accumulate] for share in parts]
        sizes = [len(part) for share in mine for part in share]
        assert sorted(i for share in mine for part in share for i in part) == sorted(batch)
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("processes", "batch"), [(2, 2), (2, 3), (3, 3), (2, 20), (4, 4)])
@pytest.mark.parametrize("loader", ["val_dataloader", "test_dataloader"])
def test_evaluation_of_several_processes_is_complete_and_holds_nothing_twice(loader, processes, batch):
    parts = shares(loader, processes, 1, batch_size=8, eval_batch_size=batch)
    assert sorted(i for share in parts for part in share for i in part) == list(range(10))
    assert len({len(share) for share in parts}) == 1, "no process waits for one that has ended"
    assert all(part for share in parts for part in share)


def test_an_accumulated_batch_is_evaluated_in_its_parts():
    assert shares("val_dataloader", 1, 2, batch_size=8) == [[[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]]


@pytest.mark.parametrize(
    ("loader", "processes", "accumulate", "message"),
    [
        ("train_dataloader", 3, 2, r"data\.batch_size=5: too few examples for 3 processes times accumulate=2"),
        ("val_dataloader", 6, 1, r"6 processes cannot share an evaluation of 10 examples in batches of 5"),
        ("val_dataloader", 11, 1, r"11 processes cannot share"),
    ],
)
def test_too_few_examples_to_share(loader, processes, accumulate, message):
    with pytest.raises(ConfigError, match=message):
        shares(loader, processes, accumulate, batch_size=5)


class Recorder(pl.LightningModule):
    """Learns nothing; writes down which examples it was given."""

    def __init__(self):
        super().__init__()
        self.weight, self.seen = torch.nn.Parameter(torch.zeros(())), []

    def training_step(self, batch):
        self.seen.append(batch.targets.tolist())
        return self.weight * 0

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def recorded(epochs: int, folder: Path, resume: Path | None = None) -> list[list[int]]:
    recorder, quiet = Recorder(), {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(max_epochs=epochs, accelerator="cpu", enable_checkpointing=False, limit_val_batches=0, **quiet)
    trainer.fit(recorder, Uneven(batch_size=2, seed=3, bucket=True), ckpt_path=resume)
    trainer.save_checkpoint(folder / f"{epochs}.ckpt")
    return recorder.seen


def test_a_resumed_run_goes_on_with_the_same_batches(tmp_path):
    whole = recorded(4, tmp_path)
    assert len({str(whole[i : i + 5]) for i in (0, 5, 10, 15)}) == 4, "each epoch has an order of its own"
    assert recorded(2, tmp_path) + recorded(4, tmp_path, tmp_path / "2.ckpt") == whole


def test_batches_are_records():
    assert all(isinstance(batch, Batch) for batch in Counting(batch_size=5).train_dataloader())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, r"data\.batch_size=0: must be at least 1"),
        ({"batch_size": 4, "eval_batch_size": -2}, r"data\.eval_batch_size=-2: must be at least 1"),
        ({"batch_size": 4, "num_workers": -1}, r"data\.num_workers=-1: must be at least 0"),
        ({"batch_size": 4, "num_workers": 10**12}, r"data\.num_workers=10+: at most \d+ on this machine"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(ConfigError, match=message):
        Counting(**options)


def test_a_batch_larger_than_the_training_split():
    with pytest.raises(ConfigError, match=r"data\.batch_size=11: larger than the training split of counting \(10"):
        Counting(batch_size=11).train_dataloader()
