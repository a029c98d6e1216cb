"""Show a published table with our runs in it, train what it lacks: see `python scripts/reproduce.py --help`."""

import os
import sys

from omegaconf import DictConfig

from longrange.cli import main

ENVIRONMENT = os.environ.copy()  # before Hydra sets in it what is meant for the jobs of a launcher


@main("reproduce", no_sweep="a table starts its trainings itself; leave it out, launcher=joblib runs several at a time")
def reproduce(cfg: DictConfig) -> None:
    """Show the table, or train what is missing first; the exit code is 1 where a training failed."""
    from longrange.cli import CONFIG_DIR
    from longrange.diagnose import group_options
    from longrange.orchestration.reproduce import reproduce

    if code := reproduce(cfg, CONFIG_DIR.parent, group_options(CONFIG_DIR, "experiment"), ENVIRONMENT):
        sys.exit(code)


if __name__ == "__main__":
    reproduce()
