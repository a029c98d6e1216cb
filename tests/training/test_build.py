"""What every training sets for its process."""

import sys

import pytest
import torch

from longrange.cli import compose
from longrange.errors import ConfigError
from longrange.kernels import linear, round_projections
from longrange.training.build import build, build_task, build_trainer, precision_of, precision_on


def test_what_underflows_is_zero():
    smallest = torch.finfo(torch.float32).tiny
    cfg = compose("train", ["experiment=quickstart"])
    try:
        build_task(cfg, build(cfg.data).spec)
        assert not (torch.full((100,), smallest) * 0.5).any()
    finally:
        torch.set_flush_denormal(False)
    assert (torch.full((100,), smallest) * 0.5).all()


@pytest.mark.parametrize(
    ("chosen", "lightnings", "rounds"), [("tf32", "32-true", True), ("bf16-mixed",) * 2 + (False,)]
)
def test_which_precisions_round_the_factors_of_projections(chosen, lightnings, rounds):
    cfg = compose("train", [f"trainer.precision={chosen}"]).trainer
    try:
        assert precision_of(cfg) == lightnings
        assert sys.modules[linear.__module__]._rounded == rounds
    finally:
        round_projections(False)
    shown = [precision_on(torch.device(device), cfg) for device in ("cuda", "cpu")]
    assert shown == [chosen, lightnings]


@pytest.mark.parametrize("setting", ["epochs=0", "trainer.max_epochs=0", "trainer.max_epochs=null"])
def test_too_few_epochs_are_told_by_the_key_that_was_set(setting):
    with pytest.raises(ConfigError, match=f"^{setting}: must be at least 1$"):
        build_trainer(compose("train", [setting]).trainer, [], [])
