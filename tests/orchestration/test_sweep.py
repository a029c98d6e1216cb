"""Every job of a sweep ends in one table, whatever became of it and wherever it ran."""

import os
import sys
from multiprocessing import get_context

import pytest
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import RunMode
from omegaconf import OmegaConf

from longrange.cli import JobFailedError, main
from longrange.errors import DataError
from longrange.orchestration import sweep
from longrange.orchestration.sweep import Job, JobFiles, print_jobs


@pytest.fixture
def sweep_of(tmp_path, monkeypatch):
    """Run a task as a sweep of seeds in an empty folder, as if typed; return the exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("COLUMNS", "160")

    def run(task, *seeds: int) -> int:
        arguments = ["-m", "experiment=quickstart", f"seed={','.join(map(str, seeds))}"]
        monkeypatch.setattr(sys, "argv", ["scripts/train.py", *arguments])
        try:
            main("train")(task)()
        except SystemExit as stop:
            return stop.code
        return 0

    return run


def rows(capsys) -> list[list[str]]:
    """The cells of the table's body."""
    lines = capsys.readouterr().out.splitlines()
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]


def train(cfg) -> float:
    """Fails in two ways."""
    if cfg.seed == 1:
        raise DataError("basic_train.tsv, row 2: one column\nof two")
    if cfg.seed == 2:
        raise TypeError("a bug")
    return 0.25


def test_each_job_has_a_row_and_a_failure_its_reason(sweep_of, capsys, tmp_path):
    assert sweep_of(train, 0, 1, 2, 3) == 2
    assert [[*row[:4], row[5]] for row in rows(capsys)] == [
        ["0", "seed=0", "done", "0.2500", ""],
        ["1", "seed=1", "failed", "", "basic_train.tsv, row 2: one column of two"],
        ["2", "seed=2", "failed", "", "TypeError: a bug"],
        ["3", "seed=3", "done", "0.2500", ""],
    ]
    assert not (tmp_path / "outputs" / ".sweeps").exists()


def test_a_sweep_without_failures_says_so(sweep_of, capsys):
    assert sweep_of(train, 0, 3) == 0
    assert capsys.readouterr().out.endswith("2 done\n")


def interrupted(cfg) -> float:
    if cfg.seed == 1:
        raise KeyboardInterrupt
    return 0.25


def test_an_interrupt_leaves_a_table_of_all_jobs(sweep_of, capsys):
    assert sweep_of(interrupted, 0, 1, 2) == 130
    assert [row[2] for row in rows(capsys)] == ["done", "interrupted", "not started"]


def test_a_launcher_that_breaks_gets_one_line_and_the_table(sweep_of, capsys, monkeypatch):
    from hydra._internal.core_plugins.basic_launcher import BasicLauncher

    launch = BasicLauncher.launch

    def break_after(self, job_overrides, initial_job_idx):
        launch(self, job_overrides[:1], initial_job_idx)
        raise RuntimeError("node 7 is down\nand more")

    monkeypatch.setattr(BasicLauncher, "launch", break_after)
    assert sweep_of(train, 0, 1) == 1
    shown = capsys.readouterr()
    assert "RuntimeError: node 7 is down\n" in shown.err
    assert shown.out.endswith("1 done, 1 not started\n")


def test_overrides_are_printed_as_they_were_typed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    shared = ["logger=[csv,tensorboard]", "paths.outputs=runs [old]"]
    print_jobs([Job(number, [*shared, f"data.words=[yes,no{number}]"], "done") for number in range(2)])
    printed = capsys.readouterr().out
    assert printed.startswith(f"all jobs: {' '.join(shared)}\n")
    assert "│ data.words=[yes,no0] │" in printed


def test_a_refused_command_prints_no_table(sweep_of, capsys):
    assert sweep_of(train, "0,x=1") == 2
    assert not rows(capsys)


def config(number: int):
    """As much of a job's configuration as the callback reads."""
    return OmegaConf.create(
        {
            "hydra": {
                "mode": RunMode.MULTIRUN,
                "job": {"num": number},
                "overrides": {"task": [f"seed={number}"]},
                "sweeper": {"_target_": "somebody.elses.Sweeper"},
            }
        }
    )


def elsewhere(files: JobFiles, number: int) -> None:
    """A job in another process: one fails, one is killed."""
    files.on_job_start(config(number))
    if number == 2:
        os._exit(9)
    returned = JobReturn(status=JobStatus.COMPLETED)
    returned.return_value = 0.5
    if number == 1:
        returned.status, returned.return_value = JobStatus.FAILED, JobFailedError(2, "no data")
    files.on_job_end(config(number), returned)


def test_jobs_in_other_processes_are_told_from_their_files(tmp_path, capsys):
    """What joblib or submitit do: pickle the callback, and run the jobs elsewhere."""
    files = JobFiles(str(tmp_path / "sweeps"))
    files.on_multirun_start(config(0))
    for number in range(3):
        process = get_context("spawn").Process(target=elsewhere, args=(files, number))
        process.start()
        process.join()
    assert [(job.state, job.score, job.reason) for job in files.jobs()] == [
        ("done", 0.5, ""),
        ("failed", None, "no data"),
        ("interrupted", None, ""),
    ]
    sweep.report()
    assert not files.folder.exists()
