"""Three thousand steps with two loaders need no more memory and no more open files than the first thousand.

The figures: `pytest -s tests/training/test_endurance.py`.
"""

import multiprocessing
import os
import resource
import sys
from pathlib import Path

import pytest
from pytorch_lightning.callbacks import Callback

from longrange.cli import compose
from longrange.training import train

pytestmark = pytest.mark.slow

EVERY, STEPS = 500, 3000
TINY = [
    *("data=listops_short", "data.recipe.train=5000", "data.recipe.val=200", "data.recipe.test=200"),
    *("data.batch_size=10", "data.num_workers=2", "save_every_s=2", "epochs=6"),
    *("model.d_model=8", "model.n_layers=1", "model.layer.d_state=8", "model.layer.n_blocks=2"),
]


def resident(process: int) -> int:
    """Megabytes in memory."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize() // 2**20


class Measure(Callback):
    """Notes memory and open files of this process and its loaders every so many steps."""

    def __init__(self):
        self.rows: dict[int, dict[str, int]] = {}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step % EVERY == 0:
            loaders = [child.pid for child in multiprocessing.active_children()]
            processes = [os.getpid(), *loaders]
            row = {
                "main_mb": resident(os.getpid()),
                "loaders_mb": sum(map(resident, loaders)),
                "loaders": len(loaders),
                "files": sum(len(os.listdir(f"/proc/{process}/fd")) for process in processes),
            }
            self.rows[trainer.global_step] = row
            sys.stdout.write(f"step {trainer.global_step}: {row}\n")


def test_memory_and_open_files_do_not_grow(tmp_path):
    measured = Measure()
    train(compose("train", [*TINY, f"paths.data={tmp_path / 'data'}"], run_dir=tmp_path / "run"), measured)
    assert list(measured.rows) == list(range(EVERY, STEPS + 1, EVERY))
    early, late = measured.rows[2 * EVERY], measured.rows[STEPS]
    assert late["files"] == early["files"]
    assert late["loaders"] == early["loaders"] == 4  # two train, two validate
    for part in ("main_mb", "loaders_mb"):
        assert late[part] - early[part] < 16
