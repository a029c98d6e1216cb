"""Made-up runs in an outputs folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_up_runs import record, write_metrics


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    return tmp_path / "outputs"


@pytest.fixture
def add_run(outputs: Path) -> Callable[..., Path]:
    """Writes a run's folder as a training leaves it: add_run(name, epochs=3, **fields of the record)."""

    def add(name: str = "listops/s5/0a1b2c3d-s0", epochs: int = 3, **fields: Any) -> Path:
        folder = outputs / name
        (folder / ".hydra").mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(record(**fields)))
        (folder / ".hydra" / "config.yaml").write_text("seed: 0\n")
        write_metrics(folder / "metrics.csv", epochs)
        return folder

    return add
