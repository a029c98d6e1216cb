"""The Lightning modules: how a model is optimised, and a step of training or evaluation for every model and task."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import MixedPrecision
from pytorch_lightning.utilities import GradClipAlgorithmType
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torchmetrics import MeanSquaredError, Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from longrange.data.batch import Batch
from longrange.errors import ConfigError
from longrange.models.dropout import Dropout, Part, WholeBatchDraws
from longrange.models.spec import TaskSpec
from longrange.training.checkpoint import batches_behind
from longrange.training.graphs import Replayed
from longrange.training.groups import Rule, parameter_groups
from longrange.training.running import RunningEpoch, WeightedMean
from longrange.training.schedules import Horizon

LOSSES = {"cross_entropy": F.cross_entropy, "mse": F.mse_loss}


class TrainableModule(pl.LightningModule):
    """A model and how it is optimised; a subclass says what its steps measure.

    Logs `lr` per epoch, the rate of the last group at the epoch's first step; a subclass logs, per epoch and split,
    `<split>/loss` and `<split>/<metric>`.

    Args:
        model: what is trained.
        metric: name of the selection metric.
        mode: "max" or "min", its good direction.
        algorithm: builds an optimiser from parameter groups.
        rules: sort the model's parameters into groups.
        scheduler: builds a schedule, see `longrange.training.schedules`.
        seed: of the random numbers of training steps.
        config: stored in checkpoints as it is; plain containers only.

    Attributes:
        part: of the batch that this process computes in the step at hand.
    """

    part: Part

    def __init__(
        self,
        model: nn.Module,
        *,
        metric: str,
        mode: Literal["max", "min"],
        algorithm: Callable[[list[dict]], Optimizer],
        rules: Sequence[Rule],
        scheduler: Callable[[Optimizer, Horizon], LRScheduler],
        seed: int = 0,
        config: dict[str, Any] | None = None,
    ):
        super().__init__()
        self.model, self.metric, self.mode, self.seed, self.config = model, metric, mode, seed, config or {}
        self.algorithm, self.rules, self.scheduler = algorithm, rules, scheduler
        self.running = RunningEpoch({"loss": WeightedMean()})

    def groups(self) -> list[dict]:
        """The model's optimiser groups, see `parameter_groups`."""
        return parameter_groups(self.model.named_parameters(), self.rules)

    def on_train_start(self) -> None:
        """Go on with the epoch of a checkpoint that was written within one."""
        self.running.restore(self.global_rank)

    def on_train_epoch_start(self) -> None:
        """Keep the learning rate of the epoch's first step."""
        self.running.lr = self.optimizers().param_groups[-1]["lr"]

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make the step's random numbers depend on (seed, epoch, batch) alone, so that a resumed run draws the same.

        Dropout draws for whole batches, so that it is the same too when the batch is computed in parts.
        """
        self.part = self.trainer.datamodule.part(batch_idx)
        if self.running.announce_lr(self.current_epoch):
            self.log("lr", self.running.lr, on_step=False, on_epoch=True, batch_size=1, sync_dist=True)
        seed_step(self.seed, self.current_epoch, batch_idx, self.global_rank)
        if self.part.parts > 1:
            step = batch_idx // self.trainer.accumulate_grad_batches
            draws = WholeBatchDraws(self.part, step_seed(self.seed, self.current_epoch, step), self.device)
            for module in self.model.modules():
                if isinstance(module, Dropout):
                    module.draws = draws

    def share(self, loss: Tensor) -> Tensor:
        """A mean over the examples at hand, weighted so that the average over all parts is that of the whole batch."""
        return loss * (self.part.size * self.part.parts / self.part.batch_size)

    def log_mean(self, name: str, value: Tensor, count: int) -> None:
        """Log an epoch's mean of values that are means of `count` ones each, over all processes."""
        if name == "train/loss":
            self.running.metrics["loss"].update(value.detach(), count)
            self.log(name, self.running.metrics["loss"], on_step=False, on_epoch=True, batch_size=count)
            return
        # As integers, Lightning would round down the mean of the processes' counts before it divides by it.
        self.log(name, value, on_step=False, on_epoch=True, batch_size=float(count), sync_dist=True)

    def configure_optimizers(self) -> dict[str, Any]:
        """The optimiser over the groups, and its schedule.

        Raises:
            ConfigError: settings that the optimiser refuses.
        """
        try:
            optimizer = self.algorithm(self.groups())
        except (ValueError, RuntimeError) as refusal:
            raise ConfigError(f"optimizer.algorithm: {refusal}") from refusal
        scheduler = self.scheduler(optimizer, self._horizon())
        # Lightning steps an epoch's plateau schedule after the checkpoint was written. As a "step" schedule that is
        # due at the last of an epoch's batches, it is stepped between validation and checkpoint.
        plateau = isinstance(scheduler, ReduceLROnPlateau)
        frequency = self._horizon().steps_per_epoch if plateau else 1
        plan = {"scheduler": scheduler, "interval": "step", "frequency": frequency, "monitor": f"val/{self.metric}"}
        return {"optimizer": optimizer, "lr_scheduler": plan}

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: Any = None
    ) -> None:
        """Clip as the trainer says, under bfloat16 too.

        Lightning refuses to do so with fused optimizers under any autocast: they may undo a scaling of the loss by
        themselves. bfloat16 has none.
        """
        precision = self.trainer.precision_plugin
        if gradient_clip_val and isinstance(precision, MixedPrecision) and precision.scaler is None:
            algorithm = gradient_clip_algorithm or GradClipAlgorithmType.NORM
            super(MixedPrecision, precision).clip_gradients(optimizer, gradient_clip_val, algorithm)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store what rebuilds the model and its data, and the epoch so far."""
        checkpoint["config"] = self.config
        checkpoint["running"] = self.running.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the epoch so far, where the checkpoint was written within one, until the training starts."""
        self.running.pending = checkpoint["running"] if batches_behind(checkpoint) else None

    def _horizon(self) -> Horizon:
        steps, epochs = self.trainer.estimated_stepping_batches, self.trainer.max_epochs
        return Horizon(epochs=epochs, steps_per_epoch=int(steps) // epochs, mode=self.mode)


class SequenceTask(TrainableModule):
    """A model, its loss and metric, and how it is optimised.

    Logs, per epoch and split, `<split>/loss` and `<split>/accuracy` (or `<split>/rmse`), each an average over examples,
    however the batches were cut.

    Args:
        model: called as model(inputs, lengths, rate), gives (B, output_size); for regression, its `head` is a
            `RegressionHead`.
        spec: the task.
        optimisation: algorithm, rules, scheduler, seed and config, see `TrainableModule`.

    Attributes:
        metric: name of the selection metric, "accuracy" or "rmse".
        mode: "max" or "min", its good direction.
        rate: factor on the model's time step in evaluation, see `SequenceLayer.forward`.
        replayed: what takes the model's calls instead of it, if anything.
    """

    def __init__(
        self,
        model: nn.Module,
        spec: TaskSpec,
        **optimisation: Any,
    ):
        metric, mode = ("accuracy", "max") if spec.loss == "cross_entropy" else ("rmse", "min")
        super().__init__(model, metric=metric, mode=mode, **optimisation)
        self.spec, self.rate = spec, 1.0
        self.replayed: Replayed | None = None
        self.running.metrics[metric] = _new_score(spec)
        self.scores = nn.ModuleDict({f"{split}_score": _new_score(spec) for split in ("val", "test")})
        self.confusion = MulticlassConfusionMatrix(spec.output_size) if self.metric == "accuracy" else None
        self.constant = MeanSquaredError(squared=False)

    def setup(self, stage: str) -> None:
        """Tell the head of a regression what the targets of the training split are like."""
        if stage == "fit" and self.metric == "rmse":
            self.model.head.calibrate(torch.tensor(self.trainer.datamodule.split("train").targets))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The mean loss of a batch, always at the rate of the training data."""
        return self.share(self._measure(batch, "train", rate=1.0)[0])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure a batch of the validation split."""
        self._measure(batch, "val", self.rate)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure a batch of the test split."""
        outputs = self._measure(batch, "test", self.rate)[1]
        if self.confusion is not None:
            self.confusion.update(outputs, batch.targets)
        else:
            self.constant.update(self.model.head.mean.expand_as(batch.targets), batch.targets)

    def baseline(self) -> float:
        """The metric on the test split that was run last of an answer that ignores the input.

        Accuracy of the split's most frequent class, or RMSE of the mean of the training targets.
        """
        if self.confusion is None:
            return self.constant.compute().item()
        per_class = self.confusion.compute().sum(dim=1)
        return (per_class.max() / per_class.sum()).item()

    def on_test_start(self) -> None:
        """Forget the counts of an earlier test."""
        (self.confusion or self.constant).reset()

    def on_test_epoch_end(self) -> None:
        """Add up the counts of all processes while they are on their devices; they are asked for later."""
        (self.confusion or self.constant).compute()

    def _measure(self, batch: Batch, split: Literal["train", "val", "test"], rate: float) -> tuple[Tensor, Tensor]:
        outputs = (self.replayed or self.model)(batch.inputs, batch.lengths, rate).float()
        loss = LOSSES[self.spec.loss](outputs, batch.targets)
        score = self.running.metrics[self.metric] if split == "train" else self.scores[f"{split}_score"]
        score.update(outputs.detach(), batch.targets)
        self.log_mean(f"{split}/loss", loss, len(batch.targets))
        self.log(f"{split}/{self.metric}", score, on_step=False, on_epoch=True, batch_size=len(batch.targets))
        return loss, outputs


def seed_step(*key: int) -> None:
    """Set torch's random numbers from a key of non-negative integers, equal keys to equal numbers."""
    torch.manual_seed(step_seed(*key))


def step_seed(*key: int) -> int:
    """A seed from a key of non-negative integers; zeros at its end are as if they were not there."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])


def _new_score(spec: TaskSpec) -> Metric:
    if spec.loss == "cross_entropy":
        return MulticlassAccuracy(spec.output_size, average="micro", validate_args=False)
    return MeanSquaredError(squared=False)
