"""Search for hyperparameters; `python scripts/tune.py --help` says how."""

import sys

from omegaconf import DictConfig

from longrange.cli import main


@main("tune")
def tune(cfg: DictConfig) -> None:
    """Run the trials that the study lacks, or help other processes to; exit with what came of it."""
    try:
        from longrange.tuning.tune import tune as search
    except ModuleNotFoundError as problem:
        from longrange.errors import ConfigError

        if problem.name not in ("optuna", "sqlalchemy"):
            raise
        raise ConfigError("a search needs Optuna; pip install 'longrange[tune]'") from problem
    if code := search(cfg):
        sys.exit(code)


if __name__ == "__main__":
    tune()
