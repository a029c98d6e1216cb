"""Our worker: the step of `benchmark=step`, each time it is asked for.

Run by `python -m longrange.benchmarks.our_worker`; its order is a composed configuration.
"""

from functools import partial
from typing import Any

import torch
from omegaconf import OmegaConf

from longrange.benchmarks.training_step import Step, seconds_of, where_run
from longrange.peers.alone.protocol import Prepared, serve
from longrange.training.peak_memory import peak_memory_bytes


def prepare(order: dict[str, Any]) -> Prepared:
    """The training step of a configuration, as composed from configs/benchmark.yaml and in plain dictionaries."""
    cfg = OmegaConf.create(order)
    step = Step(cfg)
    device = step.fabric.device
    facts = {
        **where_run(cfg, device),
        "versions": f"torch {torch.__version__}",
        "n_parameters": step.n_parameters,
    }
    return Prepared(lambda: seconds_of(step.run, device), partial(peak_memory_bytes, device), facts)


if __name__ == "__main__":
    serve(prepare)
