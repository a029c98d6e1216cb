"""Which process this is, as those say that start processes."""

import pytest

from longrange.ranks import process_count, process_rank

NAMES = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "WORLD_SIZE", "SLURM_STEP_NUM_TASKS")


@pytest.mark.parametrize(
    ("told", "rank", "count"),
    [
        ({}, 0, 1),
        ({"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8"}, 5, 8),  # torchrun on the second of two machines
        ({"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4"}, 3, 4),  # srun
        ({"SLURM_PROCID": "0", "LOCAL_RANK": "1"}, 1, 1),  # started by Lightning, from within a job of SLURM
    ],
)
def test_rank_and_count(monkeypatch, told, rank, count):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert (process_rank(), process_count()) == (rank, count)
