"""Whether a training is on course: its validation metric beside what runs of its kind have reached by an epoch."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from longrange.errors import ConfigError
from longrange.overrides import setting_changes

log = logging.getLogger(__name__)

SLACK = 0.1  # what falls short by less is on course: a share of the way from chance, or of an RMSE
CHANCE = 1.1  # an accuracy below this multiple of one over the number of classes, or of the largest one, is chance


class Expectation(Callback):
    """Says after certain epochs, in one line, whether the run is on course, and what its like have been helped by.

    The best epoch so far counts. What was said travels in checkpoints, so a resumed run says nothing twice.

    Args:
        expected: epoch, counted from 1, -> validation metric by its end, accuracy as a fraction; None for none.
    Raises:
        ConfigError: an epoch below 1, or a value that is no number.

    Attributes:
        best: best validation metric so far; None before the first epoch.
        told: the epoch after which the last line was written, 0 if none was.
    """

    def __init__(self, expected: Mapping[int, float] | None):
        self.expected = _checked(expected or {})
        self.best: float | None = None
        self.told = 0

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare the best validation metric with what is expected by this epoch."""
        value = trainer.callback_metrics[f"val/{pl_module.metric}"].item()
        better = max if pl_module.mode == "max" else min
        self.best = value if self.best is None else better(self.best, value)
        epoch = trainer.current_epoch + 1
        due = [known for known in self.expected if self.told < known <= epoch]
        if due:
            self.told = epoch
            if trainer.is_global_zero:
                _tell(trainer, pl_module, self.best, self.expected[max(due)])

    def state_dict(self) -> dict[str, Any]:
        """The best metric and what was said."""
        return {"best": self.best, "told": self.told}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.best, self.told = state_dict["best"], state_dict["told"]


def _checked(expected: Any) -> dict[int, float]:
    if not isinstance(expected, Mapping):
        raise ConfigError(f"expected={expected}: must be of the form {{10: 0.5}}, an epoch and a metric")
    for epoch, value in expected.items():
        if not isinstance(epoch, int) or epoch < 1 or not isinstance(value, int | float):
            raise ConfigError(f"expected={{{epoch}: {value}}}: must be an epoch, from 1 on, and a number")
    return dict(expected)


def _tell(trainer: pl.Trainer, task: pl.LightningModule, value: float, expected: float) -> None:
    figures = (
        f"after epoch {trainer.current_epoch + 1}: best val/{task.metric} {value:.4f}, expected by now {expected:.4f}"
    )
    if not is_behind(task, value, expected):
        log.info(f"on course {figures}")
        return
    stuck = task.mode == "max" and value < CHANCE / task.spec.output_size
    advice = "; ".join(_stuck_advice(trainer, task) if stuck else _advice(task.config))
    log.warning(f"{'still at chance' if stuck else 'behind'} {figures}. {advice[:1].upper()}{advice[1:]}")


def is_behind(task: pl.LightningModule, value: float, expected: float) -> bool:
    """Whether a metric is clearly worse than expected.

    Args:
        task: with `mode` ("max" for accuracy, "min" for RMSE) and `spec`.
        value: accuracy as a fraction, or RMSE.
        expected: the same.
    """
    if task.mode == "min":
        return value > (1 + SLACK) * expected
    chance = 1 / task.spec.output_size
    return value < expected - SLACK * (expected - chance)


def _stuck_advice(trainer: pl.Trainer, task: pl.LightningModule) -> Iterator[str]:
    """What the models' authors advise for a run at chance, with its own values.

    Sources: the S4 repository, discussions 22 and 82; the DSS repository; S4D-DFouT (2025), appendix C.3.
    """
    later = 2 * (trainer.current_epoch + 1)
    if later <= trainer.max_epochs:
        yield f"runs can stand there for long before they rise (DSS on Path-X: 90,000 steps), wait until epoch {later}"
    layer, length = task.config.get("model", {}).get("layer", {}), task.spec.max_length
    dt_min = layer.get("dt_min")
    if dt_min and dt_min * length > 10:  # the slowest feature remembers about 1 / dt_min steps
        yield f"for {length:,} steps, model.layer.dt_min={dt_min / 10:g} model.layer.dt_max=0.1 (now {dt_min:g})"
    yield from _advice(task.config)


def _advice(config: Mapping[str, Any]) -> Iterator[str]:
    """What may explain or mend any run that is behind."""
    if changed := _changed(config):
        yield f"this command changes the experiment ({' '.join(changed)})"
    yield f"what has helped others: {', '.join(_remedies(config))}"


def _changed(config: Mapping[str, Any]) -> list[str]:
    """Overrides of the command line that an experiment's figures do not belong to."""
    name = config.get("name", {})
    return setting_changes(name.get("overrides", [])) if name.get("experiment") else []


def _remedies(config: Mapping[str, Any]) -> Iterator[str]:
    optimizer, scheduler = config.get("optimizer", {}), config.get("scheduler", {})
    rate = "ssm_lr" if "ssm_lr" in optimizer else "lr"
    if rate in optimizer:
        yield f"a lower optimizer.{rate} (now {optimizer[rate]:g})"
    for key in ("warmup_steps", "warmup_epochs"):
        if scheduler.get(key) is not None:
            yield f"a longer warmup (scheduler.{key}, now {scheduler[key]:g})"
            break
    yield "another seed"
