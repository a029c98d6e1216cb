"""scripts/prepare_data.py as a user runs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.utils import instantiate

from longrange.cli import compose

SCRIPT = Path(__file__).parents[2] / "scripts/prepare_data.py"


SMALL_COPIES = """
_target_: longrange.data.listops.ListOps
data_dir: ${paths.data}/NAME
batch_size: 4
recipe: {_target_: longrange.data.generate.listops.Recipe, min_length: 8, max_length: 30, train: 300, val: 9, test: 9}
"""


def run(folder: Path, *overrides: str, script: Path = SCRIPT) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(script.parents[1] / "src")}
    command = [sys.executable, script, *overrides]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture
def three_tasks(tmp_path) -> Path:
    """The script, in a project (compiled loops included) with two small tasks and a broken one."""
    for part in ("configs", "scripts", "src"):
        shutil.copytree(SCRIPT.parents[1] / part, tmp_path / part)
    shutil.rmtree(tmp_path / "configs/data")
    (tmp_path / "configs/data").mkdir()
    for name in ("listops", "other"):
        (tmp_path / f"configs/data/{name}.yaml").write_text(SMALL_COPIES.replace("NAME", name))
    (tmp_path / "configs/data/wrong.yaml").write_text(SMALL_COPIES.replace("NAME", "wrong").replace(": 4", ": 0"))
    return tmp_path / "scripts/prepare_data.py"


def test_short_task_is_made_and_shown(tmp_path):
    sizes = [f"data.recipe.{split}={size}" for split, size in {"train": 1000, "val": 21, "test": 22}.items()]
    done = run(tmp_path, "data=listops_short", *sizes)
    assert done.returncode == 0, done.stderr
    assert "listops_short, prepared in" in done.stdout
    assert "│ train │    1,000 │" in done.stdout
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"listops_short", "listops_short.lock", "cache"}
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_several_at_once_write_nothing_but_data(tmp_path):
    sizes = [f"data.recipe.{split}={size}" for split, size in {"train": 100, "val": 21, "test": 22}.items()]
    done = run(tmp_path, "-m", "data=listops_short", "data.batch_size=4,8", *sizes)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("listops_short, prepared in") == 2
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


def test_all_tasks(tmp_path, three_tasks):
    done = run(tmp_path, "data=all", "preview=true", "paths.data=made", script=three_tasks)
    assert done.returncode == 1, done.stderr
    assert "2 prepared, 1 not" in done.stdout
    assert "│ wrong │ data.batch_size=0: must be at least 1 │" in done.stdout
    assert {"listops", "other", "preview"} <= {path.name for path in (tmp_path / "made").iterdir()}
    files = sorted((tmp_path / "made").rglob("*"))
    shown = run(tmp_path, "--status", "paths.data=made", script=three_tasks)
    assert sorted((tmp_path / "made").rglob("*")) == files
    assert shown.returncode == 0, shown.stderr
    assert [line.split("│")[1:3] for line in shown.stdout.splitlines() if line.startswith("│")] == [
        [" listops ", " yes     "],
        [" other   ", " yes     "],
        [" wrong   ", " ?       "],
    ]


def test_one_tasks_value_for_all(tmp_path):
    done = run(tmp_path, "--status", "data.batch_size=3")
    assert done.returncode == 2
    assert done.stderr == "error: data.batch_size=3: is a value of one task; leave it out where all tasks are meant\n"
