"""The base of all data modules: what a task must provide, and the loaders built from it."""

from abc import ABC, abstractmethod
from typing import Literal

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from longrange.data.batch import Batch
from longrange.errors import ConfigError
from longrange.models.spec import TaskSpec

Split = Literal["train", "val", "test"]


class EpochSampler(Sampler[int]):
    """A permutation of a data set that depends on (seed, epoch) alone, so that a resumed run sees the same order.

    Args:
        size: number of examples.
        seed: the run's seed.
    """

    def __init__(self, size: int, seed: int):
        self.size, self.seed, self.epoch = size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer at the start of every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        return iter(torch.randperm(self.size, generator=generator).tolist())


class SequenceDataModule(pl.LightningDataModule, ABC):
    """A task: its spec, its preparation, and its three splits.

    A data set of a split implements `__len__` and `__getitems__(indices) -> Batch`, one call a batch,
    so that no Python runs per example.

    Args:
        batch_size: examples per training step, at least 1.
        eval_batch_size: examples per evaluation step; `batch_size` where None.
        num_workers: loader processes; 0 loads in the training process.
        seed: decides the order of the training examples.

    Attributes:
        protocol: "heldout" (selection on validation data that is not the test set) or "paper" (as published,
            where that selects on the test set); written to the run record.
    """

    protocol: Literal["heldout", "paper"] = "heldout"

    def __init__(self, *, batch_size: int, eval_batch_size: int | None = None, num_workers: int = 0, seed: int = 0):
        super().__init__()
        for name, value, least in [
            ("batch_size", batch_size, 1),
            ("eval_batch_size", eval_batch_size, 1),
            ("num_workers", num_workers, 0),
        ]:
            if value is not None and value < least:
                raise ConfigError(f"data.{name}={value}: must be at least {least}")
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self.eval_batch_size = eval_batch_size or batch_size

    @property
    @abstractmethod
    def spec(self) -> TaskSpec:
        """The task's shape; must not need the data."""

    @abstractmethod
    def split(self, name: Split) -> Dataset:
        """The prepared data set of one split, memory-mapped."""

    def train_dataloader(self) -> DataLoader:
        """Shuffled by (seed, epoch); the ragged last batch is dropped."""
        data = self.split("train")
        if len(data) < self.batch_size:
            raise ConfigError(
                f"data.batch_size={self.batch_size}: larger than the training split of {self.spec.name} "
                f"({len(data)} examples)"
            )
        return self._loader(data, self.batch_size, sampler=EpochSampler(len(data), self.seed), drop_last=True)

    def val_dataloader(self) -> DataLoader:
        """In file order, nothing dropped."""
        return self._loader(self.split("val"), self.eval_batch_size)

    def test_dataloader(self) -> DataLoader:
        """In file order, nothing dropped."""
        return self._loader(self.split("test"), self.eval_batch_size)

    def _loader(self, data: Dataset, batch_size: int, **options) -> DataLoader:
        return DataLoader(
            data,
            batch_size,
            num_workers=self.num_workers,
            collate_fn=_as_batch,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.num_workers > 0,
            **options,
        )


def _as_batch(batch: Batch) -> Batch:
    """`__getitems__` has already built the batch."""
    return batch
