"""What every training sets for its process."""

import torch

from longrange.cli import compose
from longrange.training.build import build, build_task


def test_what_underflows_is_zero():
    smallest = torch.finfo(torch.float32).tiny
    cfg = compose("train", ["experiment=quickstart"])
    try:
        build_task(cfg, build(cfg.data).spec)
        assert not (torch.full((100,), smallest) * 0.5).any()
    finally:
        torch.set_flush_denormal(False)
    assert (torch.full((100,), smallest) * 0.5).all()
