"""Time a model on random inputs of its task's shape; `python scripts/benchmark.py --help` says how."""

import json
import sys
from pathlib import Path

from omegaconf import DictConfig

from longrange.cli import main


@main("benchmark")
def benchmark(cfg: DictConfig) -> None:
    """Run the chosen benchmark and print its figures as one JSON line."""
    from hydra.utils import instantiate

    from longrange.provenance import git_state

    git_state()  # now: what is committed while it measures is not what was measured
    if "folder" in cfg.benchmark:  # what cannot be written to is said now, not after the measuring
        Path(cfg.benchmark.folder).mkdir(parents=True, exist_ok=True)
    sys.stdout.write(json.dumps(instantiate(cfg.benchmark)(cfg)) + "\n")


if __name__ == "__main__":
    benchmark()
