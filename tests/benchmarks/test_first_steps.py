"""The first steps of a training are those of the real one."""

import numpy as np
import pytest
from pytorch_lightning.callbacks import Callback
from toy_task import Spoil, toy_config

from longrange.benchmarks import first_steps as module
from longrange.benchmarks.first_steps import first_steps
from longrange.errors import ConfigError
from longrange.training import train

STEPS = 11  # one epoch of 8 and some


class Losses(Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(outputs["loss"].item())


def seen(cfg, steps=STEPS):
    told = []
    found = first_steps(cfg, steps, told.append)
    np.testing.assert_array_equal(found.losses, told)
    return found


def test_they_are_the_steps_of_a_training_of_its_full_length(tmp_path):
    whole = Losses()
    cfg = toy_config(tmp_path, "trainer.gradient_clip_val=0.5")
    found = seen(cfg)
    train(cfg, whole)
    assert found.losses == whole.seen[:STEPS]
    assert found.step_s > 0
    assert (found.batch_size, found.device) == (8, "cpu")


def test_a_batch_in_parts_has_one_loss(tmp_path):
    in_parts = seen(toy_config(tmp_path, "accumulate=2", "model.block.norm=layer")).losses
    np.testing.assert_allclose(in_parts, seen(toy_config(tmp_path, "model.block.norm=layer")).losses, rtol=1e-3)


def test_a_plateau_schedule_is_served(tmp_path):
    assert np.isfinite(seen(toy_config(tmp_path, "scheduler=plateau")).losses).all()


def test_nothing_is_written(tmp_path):
    seen(toy_config(tmp_path), 1)
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_diverges_has_no_losses_from_there_on(tmp_path, monkeypatch):
    class Spoilt(module.FiniteGuard):
        spoil = Spoil("head.weight", 3)

        def on_train_batch_start(self, *arguments):
            self.spoil.on_train_batch_start(*arguments)

    monkeypatch.setattr(module, "FiniteGuard", Spoilt)
    losses = first_steps(toy_config(tmp_path), 5, lambda loss: None).losses
    assert np.isfinite(losses).tolist() == [True, True, True, False, False]


def test_a_training_that_is_too_short_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"benchmark\.steps=17: the training has 16 steps; take epochs=<more>"):
        seen(toy_config(tmp_path), 17)
