"""Which process of a training this is, and how many were started, as torchrun, srun or Lightning says."""

import os


def process_rank() -> int:
    """This process's number among those that share one training; 0 where it is alone. The first one writes the run."""
    return _first_of("RANK", "LOCAL_RANK", "SLURM_PROCID", default=0)


def process_count() -> int:
    """How many processes torchrun or srun has started, this one included."""
    return _first_of("WORLD_SIZE", "SLURM_STEP_NUM_TASKS", default=1)


def _first_of(*names: str, default: int) -> int:
    return next((int(os.environ[name]) for name in names if os.environ.get(name)), default)
