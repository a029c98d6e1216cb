"""Processes that would not work together are refused before they start."""

import sys

import pytest
from omegaconf import DictConfig

from longrange.cli import main
from longrange.training.build import build_trainer

TWO = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")


@pytest.fixture
def refusal(tmp_path, monkeypatch, capsys):
    """What is said to a command with these arguments, in an environment; empty where its trainer is taken."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)

    def build(cfg: DictConfig) -> None:
        build_trainer(cfg.trainer, [], [])

    def run(*arguments: str, script: str = "train", **environment: str) -> str:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", [f"scripts/{script}.py", *arguments])
        code = 0
        try:
            main(script)(build)()
        except SystemExit as stop:
            code = stop.code
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert (code, len(said)) in ((0, 0), (2, 1))
        return "".join(said)

    return run


def torchrun(processes: int) -> dict[str, str]:
    count = str(processes)
    here = {"RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "none"}
    return here | {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "GROUP_WORLD_SIZE": "1"}


def srun(processes: int) -> dict[str, str]:
    count = str(processes)
    here = {"SLURM_NTASKS": count, "SLURM_NTASKS_PER_NODE": count, "SLURM_NNODES": "1", "SLURM_JOB_NAME": "longrange"}
    return here | {"SLURM_STEP_NUM_TASKS": count, "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}


def test_a_sweep_whose_jobs_would_start_it_again(refusal):
    said = refusal("-m", *TWO, "seed=0")
    assert "each of its 2 processes would start all jobs again" in said
    assert "torchrun --nproc-per-node 2 scripts/train.py" in said
    assert "launcher=slurm launcher.tasks=2" in said


def test_one_training_in_two_processes(refusal):
    assert refusal(*TWO) == ""


def test_a_script_of_many_trainings(refusal):
    assert "would start all jobs again" in refusal(*TWO, script="benchmark")


@pytest.mark.parametrize("started", [torchrun, srun])
def test_started_processes_are_taken_as_many_as_there_are(refusal, started):
    assert refusal("trainer=ddp", "trainer.accelerator=cpu", **started(2)) == ""
    assert refusal("-m", "trainer=ddp", "trainer.accelerator=cpu", "seed=0", **started(2)) == ""


@pytest.mark.parametrize("started", [torchrun, srun])
@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["trainer=cpu"], "for 1 processes, but 2 were started; trainer=ddp"), (TWO, "for 2 processes, but 3 were")],
)
def test_another_number_of_processes(refusal, started, arguments, told):
    assert told in refusal(*arguments, **started(2 if "trainer=cpu" in arguments else 3))


def test_a_batch_script_without_srun(refusal):
    """SLURM has given it room for two processes and started one."""
    alone = srun(2)
    del alone["SLURM_STEP_NUM_TASKS"]
    assert "for 2 processes, but 1 were started" in refusal("trainer=ddp", "trainer.accelerator=cpu", **alone)


def test_processes_that_cannot_hand_back_what_they_find(refusal):
    assert "take trainer.strategy=ddp" in refusal(*TWO, "trainer.strategy=ddp_spawn")
