"""Tests, timings and a training on a machine with a GPU, in one command: see `python scripts/measure.py --help`."""

import os
import sys

from omegaconf import DictConfig

from longrange.cli import main

ENVIRONMENT = os.environ.copy()  # before Hydra sets in it what is meant for the jobs of a launcher


@main("measure", no_sweep="a visit does its errands one after another; leave it out")
def measure(cfg: DictConfig) -> None:
    """Do what is not done yet; the exit code says whether to come again."""
    from longrange.cli import CONFIG_DIR
    from longrange.orchestration.visit import visit

    if code := visit(cfg, CONFIG_DIR.parent, ENVIRONMENT):
        sys.exit(code)


if __name__ == "__main__":
    measure()
