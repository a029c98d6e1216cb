"""Search for hyperparameters; `python scripts/tune.py --help` says how."""

import re
import sys

from omegaconf import DictConfig

from longrange.cli import main


@main("tune", no_sweep="a search starts its trainings itself; leave it out, workers=2 runs two at a time")
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


def entries(argument: str) -> str:
    """`search.space.<key>=...` and `search.space={<key>: ...}` in a form in which Hydra takes a key with its dots."""
    argument = re.sub(r"^search\.space\.([\w.]+)=(.*)$", r"search.space={\1: \2}", argument)
    return re.sub(r"^search\.space=", "++search.space=", argument)


if __name__ == "__main__":
    sys.argv[1:] = [entries(argument) for argument in sys.argv[1:]]
    tune()
