"""What every task inherits: checked options, repeatable order, complete evaluation."""

import pytest
import torch

from longrange.data.batch import Batch
from longrange.data.module import EpochSampler, SequenceDataModule
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


def targets(loader) -> list[list[int]]:
    return [batch.targets.tolist() for batch in loader]


def test_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        sampler = EpochSampler(100, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(0, 1) == order(0, 1)
    assert sorted(order(0, 1)) == list(range(100))
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1, 2)}) == 6


def test_a_sampler_repeats_its_epoch_until_told():
    sampler = EpochSampler(50, seed=3)
    assert list(sampler) == list(sampler)
    assert len(sampler) == 50


def test_training_is_shuffled_and_drops_the_ragged_batch():
    batches = targets(Counting(batch_size=4, seed=1).train_dataloader())
    assert [len(batch) for batch in batches] == [4, 4]
    assert batches != [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert batches == targets(Counting(batch_size=4, seed=1).train_dataloader())


@pytest.mark.parametrize("loader", ["val_dataloader", "test_dataloader"])
def test_evaluation_is_in_order_and_complete(loader):
    assert targets(getattr(Counting(batch_size=4), loader)()) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert targets(getattr(Counting(batch_size=4, eval_batch_size=7), loader)()) == [[0, 1, 2, 3, 4, 5, 6], [7, 8, 9]]


def test_batches_are_records():
    assert all(isinstance(batch, Batch) for batch in Counting(batch_size=5).train_dataloader())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, r"data\.batch_size=0: must be at least 1"),
        ({"batch_size": 4, "eval_batch_size": -2}, r"data\.eval_batch_size=-2: must be at least 1"),
        ({"batch_size": 4, "num_workers": -1}, r"data\.num_workers=-1: must be at least 0"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(ConfigError, match=message):
        Counting(**options)


def test_a_batch_larger_than_the_training_split():
    with pytest.raises(ConfigError, match=r"data\.batch_size=11: larger than the training split of counting \(10"):
        Counting(batch_size=11).train_dataloader()
