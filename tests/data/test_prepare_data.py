"""scripts/prepare_data.py as a user runs it."""

import subprocess
import sys
from pathlib import Path

from hydra.utils import instantiate

from longrange.cli import compose

SCRIPT = Path(__file__).parents[2] / "scripts/prepare_data.py"


def run(folder: Path, *overrides: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, SCRIPT, *overrides], cwd=folder, capture_output=True, text=True, check=False)


def test_short_task_is_made_and_shown(tmp_path):
    sizes = [f"data.recipe.{split}={size}" for split, size in {"train": 1000, "val": 21, "test": 22}.items()]
    done = run(tmp_path, "data=listops_short", *sizes)
    assert done.returncode == 0, done.stderr
    assert "listops_short, prepared in" in done.stdout
    assert "│ train │    1,000 │" in done.stdout
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"listops_short", "listops_short.lock", "cache"}
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_mistake_is_one_line(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/basic_train.tsv").write_text("Source\tTarget\n")
    done = run(tmp_path, "data=listops", "data.data_dir=mine")
    assert done.returncode == 2
    assert done.stderr.startswith("error: mine: no basic_val.tsv, basic_test.tsv; ")
    assert done.stderr.count("\n") == 1


def test_the_short_task_fits_its_model(tmp_path):
    data = instantiate(compose("prepare_data", ["data=listops_short"], tmp_path).data)
    assert data.spec.name == "listops_short"
    assert data.recipe.max_length + 1 <= data.spec.max_length == 64
    assert data.recipe.sizes == {"train": 20_000, "val": 1_000, "test": 2_000}


def test_the_published_task_is_the_default(tmp_path):
    data = instantiate(compose("prepare_data", [], tmp_path).data)
    assert (data.spec.name, data.spec.max_length, data.data_dir) == ("listops", 2048, Path("data/listops"))
    assert data.recipe == type(data.recipe)()
