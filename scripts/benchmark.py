"""Time a model on random inputs of its task's shape; `python scripts/benchmark.py --help` says how."""

import json
import sys

from omegaconf import DictConfig

from longrange.cli import main


@main("benchmark")
def benchmark(cfg: DictConfig) -> None:
    """Run the chosen benchmark and print its figures as one JSON line."""
    from hydra.utils import instantiate

    sys.stdout.write(json.dumps(instantiate(cfg.benchmark)(cfg)) + "\n")


if __name__ == "__main__":
    benchmark()
