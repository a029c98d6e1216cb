"""The Lightning module of the stage before a training: one step of an objective that needs no labels."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from longrange.data.batch import Batch
from longrange.models.reconstructor import Reconstructor
from longrange.training.pretrain_objectives import Objective
from longrange.training.schedules import Horizon
from longrange.training.task import SequenceTask, TrainableModule, seed_step

LOSSES = {"tokens": F.cross_entropy, "continuous": F.l1_loss}  # as published


class PretrainingTask(TrainableModule):
    """A task's model under an objective of its inputs alone. The loss is a mean over all predicted steps and channels.

    Args:
        task: whose encoder and blocks are trained, in place, by its optimiser.
        objective: what is predicted.
        scheduler: builds a schedule, see `longrange.training.schedules`.
    """

    def __init__(
        self, task: SequenceTask, objective: Objective, scheduler: Callable[[Optimizer, Horizon], LRScheduler]
    ):
        super().__init__(
            Reconstructor(task.model, hides=objective.hides),
            metric="loss",
            mode="min",
            algorithm=task.algorithm,
            rules=task.rules,
            scheduler=scheduler,
            seed=task.seed,
            config=task.config,
        )
        self.objective, self.loss = objective, LOSSES[task.spec.kind]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The mean loss of a batch."""
        return self.share(self._measure(batch, "train"))

    def on_validation_batch_start(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Ask the same of a batch in every epoch, so that the epochs can be compared."""
        seed_step(self.seed, batch_idx, self.global_rank)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure a batch of the validation split."""
        self._measure(batch, "val")

    def _measure(self, batch: Batch, split: Literal["train", "val"]) -> Tensor:
        at = self.objective.steps(batch.inputs, batch.lengths)
        answers = self.objective.answers(batch.inputs, at)
        count = max(answers.numel(), 1)  # few short sequences may have no step to predict
        predictions = self.model(batch.inputs, batch.lengths, at).float()
        loss = self.loss(predictions, answers, reduction="sum") / count
        self.log_mean(f"{split}/loss", loss, count)
        return loss
