"""scripts/reproduce.py as a whole: a training of a tiny cell, which the smoke table shows and the real one does not."""

import csv
import os
import subprocess
import sys

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from longrange.cli import CONFIG_DIR, compose
from longrange.diagnose import group_options
from longrange.errors import ConfigError
from longrange.orchestration.reproduce import Reproduction, reproduce
from longrange.training.build import build_task
from tests.paths import ROOT

EXPERIMENTS = group_options(CONFIG_DIR, "experiment")


def composed(tmp_path, *overrides):
    """As from a command line, whose overrides a composition in a test does not see."""
    given = [f"paths.outputs={tmp_path}", *overrides]
    cfg = compose("reproduce", given)
    cfg.name.overrides = given
    return cfg


def reproduction(tmp_path, *overrides):
    return Reproduction(composed(tmp_path, *overrides), ROOT, EXPERIMENTS, os.environ)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """Folder of the outputs after a smoke test of one cell, and its exit code."""
    outputs = tmp_path_factory.mktemp("outputs")
    cfg = composed(outputs, "budget=smoke", "models=[s5]", "tasks=[listops]")
    return outputs, reproduce(cfg, ROOT, EXPERIMENTS, os.environ)


def test_a_smoke_test_trains_and_fills_its_own_table(smoke):
    outputs, code = smoke
    assert code == 0
    assert len(list(outputs.glob("smoke/listops/s5/*/result.json"))) == 1
    folder = outputs / "smoke" / "tables" / "lra"
    with (folder / "table.csv").open() as file:
        filled = [(row["experiment"], row["n"]) for row in csv.DictReader(file) if row["n"] != "0"]
    assert filled == [("listops/s5", "1")]
    assert "figures mean nothing" in (folder / "table.md").read_text()
    assert (folder / "table.png").exists()


def test_a_smoke_run_never_fills_a_real_cell(smoke):
    outputs, _ = smoke
    real = reproduction(outputs)
    assert [run.smoke for run in real.runs() if run.origin.is_relative_to(outputs)] == [True]
    _, found = real.filled()
    assert found["s5", "listops"].n == 0
    assert found["s5", "listops"].notes == ()
    assert "listops/s5, seed 0" in [job.label for job in real.jobs()]


def test_a_smoke_test_repeats_what_it_has_run(smoke):
    outputs, _ = smoke
    again = reproduction(outputs, "budget=smoke", "models=[s5]", "tasks=[listops]")
    assert [job.label for job in again.jobs()] == ["listops/s5, seed 0"]


def test_smoke_settings_fit_every_task_and_model(tmp_path):
    """Each task once and each model once: the data module and the model take what they are given."""
    by_part = {}
    for table in group_options(CONFIG_DIR, "table"):
        for job in reproduction(tmp_path, f"table={table}", "budget=smoke").jobs():
            by_part |= dict.fromkeys(enumerate(job.experiment.split("/")), job)
    for job in dict.fromkeys(by_part.values()):
        cfg = compose("train", job.overrides)
        task = build_task(cfg, instantiate(cfg.data).spec)
        assert sum(parameter.numel() for parameter in task.model.parameters()) < 20_000, job.label


def test_commands_of_what_is_missing(tmp_path, capsys):
    cfg = composed(tmp_path, "run=commands", "models=[s5]", "tasks=[image]", "seeds=[0,4]", "trainer=gpu")
    assert reproduce(cfg, ROOT, EXPERIMENTS, os.environ) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"python scripts/train.py experiment=image/s5 paths.outputs={tmp_path} trainer=gpu seed={seed}"
        for seed in (0, 4)
    ]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["run=all"], "run=all: must be missing or commands or null"),
        (["protocol=test"], "must be heldout or paper"),
        (["run=missing", "records=false"], "records=false"),
        (["epochs=3"], "changes the published setting"),
    ],
)
def test_mistakes_are_refused_before_anything_runs(tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        reproduce(composed(tmp_path, *overrides), ROOT, EXPERIMENTS, os.environ)
    assert not list(tmp_path.iterdir())


def test_the_script_shows_a_table(tmp_path):
    command = [sys.executable, ROOT / "scripts" / "reproduce.py", "table=bidmc", f"paths.outputs={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "BIDMC vital signs" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("run=missing starts them")
    assert {path.name for path in (tmp_path / "tables" / "bidmc").iterdir()} == {
        *("table.md", "table.tex", "table.csv", "table.png")
    }


def test_budgets_have_the_same_keys():
    full, smoke = (OmegaConf.load(CONFIG_DIR / "budget" / f"{name}.yaml") for name in ("full", "smoke"))
    assert full.keys() == smoke.keys()
    assert full.overrides.keys() == smoke.overrides.keys()
