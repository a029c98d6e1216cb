"""What is missing in a table, as command lines."""

import pytest

from longrange.errors import ConfigError
from longrange.orchestration.jobs import Job, launching, missing, passed_on
from longrange.results.cells import cells
from longrange.results.run_folder import run_folder
from tests.results.made_up_runs import made_up_run, small_table

NOTHING = {"all": [], "models": {}, "tasks": {}, "pretrain": []}


def jobs(*runs, **chosen):
    options = {"models": None, "tasks": None, "seeds": [0], "protocol": "heldout", "further": [], "budget": NOTHING}
    found = cells(small_table(), runs, experiments=["listops/s5", "text/s5", "text/s4"])
    return missing(small_table(), found, **options | chosen)


def labels(*runs, **chosen):
    return [job.label for job in jobs(*runs, **chosen)]


def test_every_cell_of_one_seed_comes_before_the_next_seed():
    assert labels(seeds=[0, 1]) == [
        f"{name}, seed {seed}" for seed in (0, 1) for name in ("listops/s5", "text/s5", "text/s4")
    ]


def test_what_counts_is_not_missing():
    counted, other = made_up_run(seed=1), made_up_run(experiment="text/s5", protocol="paper")
    assert labels(counted, other, seeds=[1]) == ["text/s5, seed 1", "text/s4, seed 1"]
    assert "text/s5, seed 0" in labels(other)


def test_rows_and_columns_can_be_chosen():
    assert labels(models=["s4"]) == ["text/s4, seed 0"]
    assert labels(tasks=["text"], models=["s5"], seeds=[7]) == ["text/s5, seed 7"]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"models": ["s6"]}, r"models=\[s6\]: not in table=small; nearest: s5, s4"),
        ({"models": ["peer"]}, "not in table"),
        ({"tasks": ["texts"]}, r"nearest: text"),
        ({"seeds": ["one"]}, "whole numbers"),
        ({"seeds": [-1]}, "not negative"),
    ],
)
def test_an_impossible_choice_is_refused(chosen, message):
    with pytest.raises(ConfigError, match=message):
        jobs(**chosen)


def test_the_published_protocol_reaches_the_tasks_that_have_it():
    assert [job.overrides for job in jobs(protocol="paper", models=["s5"])] == [
        ["experiment=listops/s5", "seed=0"],
        ["experiment=text/s5", "data.protocol=paper", "seed=0"],
    ]


def test_a_budget_adds_what_it_says():
    budget = {"all": ["epochs=1"], "models": {"s5": ["model.x=1"]}, "tasks": {"text": ["data.y=2"]}, "pretrain": []}
    assert [job.overrides[1:-1] for job in jobs(budget=budget, further=["trainer=gpu"])] == [
        ["trainer=gpu", "epochs=1", "model.x=1"],
        ["trainer=gpu", "epochs=1", "data.y=2", "model.x=1"],
        ["trainer=gpu", "epochs=1", "data.y=2"],
    ]


def test_what_belongs_to_the_trainings_is_passed_on():
    given = ["table=lra", "run=missing", "trainer=gpu", "budget.seeds=[1]", "paths.data=/d", "launcher=slurm"]
    assert passed_on(given) == ["trainer=gpu", "paths.data=/d"]


def test_what_a_launcher_is_told_reaches_it():
    task, own = ["launcher=slurm", "trainer=gpu", "launcher.jobs=8"], ["hydra.mode=RUN", "+hydra.launcher.account=x"]
    assert launching([*task, *own]) == ["launcher=slurm", "launcher.jobs=8", "+hydra.launcher.account=x"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("experiment=listops/s5", "models="),
        ("seed=1", "seeds="),
        ("pretrain=masked", "models="),
        ("data.protocol=paper", "protocol=paper"),
        ("resume=last", "resumed"),
        ("epochs=2", "changes the published setting"),
        ("trainer=debug", "changes the published setting"),
    ],
)
def test_what_a_cell_decides_is_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        passed_on(["table=lra", override])


def test_what_lies_beside_its_folders_is_none_of_them(tmp_path):
    job = Job("listops/s5", None, 0)
    folder = run_folder(tmp_path, "listops", "s5", 0, job.overrides, latest=False)
    for suffix in (".lock", ".partial", "7"):
        folder.with_name(folder.name + suffix).mkdir(parents=True)
    assert job.folder(tmp_path) is None
    folder.mkdir()
    assert job.folder(tmp_path) == folder


def test_a_run_resumes_from_its_newest_folder_if_it_was_interrupted(tmp_path):
    job = Job("listops/s5", None, 3, ("trainer=gpu",))
    assert job.folder(tmp_path) is None
    for _ in range(2):
        folder = run_folder(tmp_path, "listops", "s5", 3, job.overrides, latest=False)
        assert not job.resumes(tmp_path)
        folder.mkdir(parents=True)
        assert job.folder(tmp_path) == folder
        assert job.resumes(tmp_path)
        (folder / "result.json").touch()
    assert not job.resumes(tmp_path)
    assert not Job("listops/s5", None, 30, ("trainer=gpu",)).folder(tmp_path)
