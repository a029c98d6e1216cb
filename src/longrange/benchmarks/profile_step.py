"""A training step in parts, to be run under a watch: loader, forward, loss, backward, clipping, optimizer, schedule."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import Any

from lightning_fabric import Fabric
from omegaconf import DictConfig
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from longrange.benchmarks.profile_floor import Ledger, Limits, Part, Work
from longrange.benchmarks.profile_watch import REST, FollowingWatch, Watch, watched
from longrange.benchmarks.training_step import random_batch
from longrange.data.batch import Batch
from longrange.data.module import SequenceDataModule
from longrange.training.build import build, build_task, precision_of
from longrange.training.schedules import Horizon
from longrange.training.task import LOSSES

_STEPS_PER_EPOCH = 1000  # of the schedule; what a step of it costs does not depend on it


class ProfiledStep:
    """One training step of a configuration, again and again, on one random batch of full length.

    Args:
        cfg: as composed from configs/benchmark.yaml.
        loader: also draw a batch from the task's training loader in each step, and put it aside.
    Raises:
        DataError: the data cannot be had.
    """

    def __init__(self, cfg: DictConfig, *, loader: bool):
        self.data: SequenceDataModule = build(cfg.data)
        task = build_task(cfg, self.data.spec)
        self.fabric = Fabric(accelerator=cfg.trainer.accelerator, devices=1, precision=precision_of(cfg.trainer))
        optimizer = task.algorithm(task.groups())
        scheduler = task.scheduler(optimizer, Horizon(cfg.epochs, _STEPS_PER_EPOCH, task.mode))
        self.scheduler = None if isinstance(scheduler, ReduceLROnPlateau) else scheduler  # once an epoch
        self.inner, self.clip, self.precision = task.model, cfg.trainer.gradient_clip_val, str(cfg.trainer.precision)
        self.model, self.optimizer = self.fabric.setup(task.model, optimizer)
        self.batch = self.fabric.to_device(random_batch(self.data.spec, self.data.batch_size))
        self.batches = _batches(self.data) if loader else None

    def run(self, watch: Watch) -> None:
        """Run the step, seen by a watch."""
        with watched(self.inner, watch) if isinstance(watch, FollowingWatch) else nullcontext():
            watch.begin()
            self._run(watch)
            watch.end()

    def _run(self, watch: Watch) -> None:
        if self.batches is not None:
            watch.run("loader", self._draw)
        watch.run("optimizer", self.optimizer.zero_grad)
        outputs = self.model(self.batch.inputs, self.batch.lengths)
        loss = watch.run("loss", LOSSES[self.data.spec.loss], outputs, self.batch.targets)
        watch.follow(loss)
        watch.run(REST, self.fabric.backward, loss)
        if self.clip:
            watch.run("clipping", self.fabric.clip_gradients, self.model, self.optimizer, max_norm=self.clip)
        watch.run("optimizer", self.optimizer.step)
        if self.scheduler is not None:
            watch.run("scheduler", self.scheduler.step)

    def work(self, limits: Limits) -> dict[Part, Work]:
        """What each part of the step has to do, and how long that takes at least."""
        ledger = Ledger()
        with ledger.counting():
            self.run(ledger)
        total = ledger.work(limits)
        for part, moved in self._moved_outside().items():
            total[part, "forward"] = Work()
            total[part, "forward"].add(Counter(), moved, limits)
        return total

    def _moved_outside(self) -> dict[str, int]:
        """Bytes at least of the parts outside of the model: an optimizer updates its state and the parameters."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        gradients = _bytes(p.grad for p in parameters)
        state = _bytes(value for values in self.optimizer.state.values() for value in values.values())
        moved = {"optimizer": 2 * _bytes(parameters) + gradients + 2 * state}
        if self.clip:
            moved["clipping"] = 2 * gradients
        if self.batches is not None:
            moved["loader"] = _bytes(self._draw())
        return moved

    def _draw(self) -> Batch:
        return self.fabric.to_device(next(self.batches))


def _batches(data: SequenceDataModule) -> Iterator[Batch]:
    """Training batches without end, the data prepared first where it is not."""
    data.prepare_data()
    while True:
        yield from data.train_dataloader()


def _bytes(values: Iterable[Any]) -> int:
    return sum(value.numel() * value.element_size() for value in values if isinstance(value, Tensor))
