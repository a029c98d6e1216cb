"""The base of all data modules: what a task must provide, and the loaders built from it."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from longrange.data.batch import Batch
from longrange.data.samplers import BucketSampler, EpochSampler, TrainingBatches, evaluation_batches, longest_first
from longrange.errors import ConfigError
from longrange.models.dropout import Part
from longrange.models.spec import TaskSpec

Split = Literal["train", "val", "test"]

_WORKERS = 16  # loader processes a core, at most: thousands would take all memory before the first one works


class SequenceDataModule(pl.LightningDataModule, ABC):
    """A task: its spec, its preparation, and its three splits.

    A data set of a split implements `__len__` and `__getitems__(indices) -> Batch`, one call a batch, so that no Python
    runs per example; `targets`, (n,) integers or, of a regression, (n, output_size) float32; where sequences differ in
    length, `lengths` of all of them and `steps`, the length of each example's longest one, (n,) integers.

    For the tables and pictures of scripts/prepare_data.py a task may have `data_dir` and `cache_dir`, `sources` (what
    is downloaded), `present()` (whether the data is there) and `preview(split, indices)`, see the tasks here.

    Args:
        batch_size: examples per optimiser step, of all processes together, at least 1. The trainer says how many
            processes there are and how many batches it accumulates; each gets its part of this one, see `Part`.
        eval_batch_size: examples per evaluation step, of all processes together; as many as are computed at once in
            training where None.
        num_workers: loader processes, 16 a core at most; 0 loads in the training process.
        seed: decides the order of the training examples.
        bucket: batch sequences of like length, see `BucketSampler`, and evaluate from long to short: less padding,
            which changes no score but costs time.

    Attributes:
        protocol: "heldout" (selection on validation data that is not the test set) or "paper" (as published,
            where that selects on the test set); written to the run record.
        classes: a name for each class in the order of the labels; None where numbers are their names.
        epochs_behind: what a resumed run has behind it.
        behind: the batches of the next epoch that it has behind it, too, as the training loader counts them.
    """

    protocol: Literal["heldout", "paper"] = "heldout"
    classes: Sequence[str] | None = None

    def __init__(
        self,
        *,
        batch_size: int,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
        bucket: bool = False,
    ):
        super().__init__()
        for name, value, least in [
            ("batch_size", batch_size, 1),
            ("eval_batch_size", eval_batch_size, 1),
            ("num_workers", num_workers, 0),
        ]:
            if value is not None and value < least:
                raise ConfigError(f"data.{name}={value}: must be at least {least}")
        if num_workers > (most := _WORKERS * (os.cpu_count() or 1)):
            raise ConfigError(f"data.num_workers={num_workers}: at most {most} on this machine, {_WORKERS} a core")
        self.batch_size, self.eval_batch_size, self.num_workers = batch_size, eval_batch_size, num_workers
        self.seed, self.bucket = seed, bucket
        self.epochs_behind = self.behind = 0

    @property
    @abstractmethod
    def spec(self) -> TaskSpec:
        """The task's shape; must not need the data."""

    @abstractmethod
    def split(self, name: Split) -> Dataset:
        """The prepared data set of one split, memory-mapped."""

    def part(self, batch_idx: int) -> Part:
        """Which examples of its batch the training loader of this process gives, for its batch_idx-th of an epoch."""
        processes, rank = self._processes
        return Part(batch_idx % self._accumulate * processes + rank, processes * self._accumulate, self.batch_size)

    def train_dataloader(self) -> DataLoader:
        """Shuffled by (seed, epoch); the ragged last batch is dropped.

        Raises:
            ConfigError: a batch is larger than the split or too small to be shared, or `bucket` where all sequences
                are equally long.
        """
        data = self.split("train")
        if len(data) < self.batch_size:
            raise ConfigError(
                f"data.batch_size={self.batch_size}: larger than the training split of {self.spec.name} "
                f"({len(data)} examples)"
            )
        return self._training_loader(data, self._training_order(data))

    def val_dataloader(self) -> DataLoader:
        """In file order, or from long to short with `bucket`; nothing dropped, nothing twice.

        Raises:
            ConfigError: fewer examples than processes, in a batch or in all.
        """
        return self._evaluation_loader(self.split("val"))

    def test_dataloader(self) -> DataLoader:
        """As `val_dataloader`."""
        return self._evaluation_loader(self.split("test"))

    def _training_order(self, data: Dataset) -> Sampler[int]:
        if self.bucket:
            return BucketSampler(self._steps(data), self.batch_size, self.seed, self.epochs_behind)
        return EpochSampler(len(data), self.seed, self.epochs_behind)

    def _training_loader(self, data: Dataset, order: Sampler[int]) -> DataLoader:
        parts = self.part(0).parts
        if self.batch_size < parts:
            raise ConfigError(
                f"data.batch_size={self.batch_size}: too few examples for {self._processes[0]} processes times "
                f"accumulate={self._accumulate}, it is the size of the whole batch"
            )
        return self._loader(data, TrainingBatches(order, [self.part(i) for i in range(self._accumulate)], self.behind))

    def _evaluation_loader(self, data: Dataset) -> DataLoader:
        order = longest_first(self._steps(data)) if self.bucket else range(len(data))
        batch_size = self.eval_batch_size or max(self.batch_size // self._accumulate, 1)
        processes, rank = self._processes
        if min(batch_size, len(data)) < processes:
            raise ConfigError(
                f"{processes} processes cannot share an evaluation of {len(data)} examples in batches of {batch_size}; "
                "take fewer processes or set data.eval_batch_size"
            )
        return self._loader(data, evaluation_batches(order, batch_size, processes, rank))

    @property
    def _processes(self) -> tuple[int, int]:
        """How many processes share the batches, and which of them this is."""
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    @property
    def _accumulate(self) -> int:
        """How many batches the trainer takes for one optimiser step."""
        return self.trainer.accumulate_grad_batches if self.trainer else 1

    def _steps(self, data: Dataset) -> np.ndarray:
        if not self.spec.variable_length:
            raise ConfigError(f"data.bucket=true: all sequences of {self.spec.name} are equally long; leave it false")
        return data.steps

    def _loader(self, data: Dataset, batches: Iterable[list[int]]) -> DataLoader:
        return DataLoader(
            data,
            batch_sampler=batches,
            num_workers=self.num_workers,
            collate_fn=_as_batch,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.num_workers > 0,
        )


def _as_batch(batch: Batch) -> Batch:
    """`__getitems__` has already built the batch."""
    return batch
