"""What every training sets for its process."""

import sys

import pytest
import torch

from longrange.cli import compose
from longrange.kernels import linear, round_projections
from longrange.training.build import build, build_task, precision_of, precision_on


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
