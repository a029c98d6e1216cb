"""Workers of one machine share what it has."""

import pytest
import torch

from longrange.tuning import crew


@pytest.fixture
def machine(monkeypatch):
    """Four cores and no GPU."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(crew.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    return monkeypatch


def test_cores_are_shared(machine):
    assert crew.share(1, 2) == {"OMP_NUM_THREADS": "2"}
    assert crew.share(5, 9) == {"OMP_NUM_THREADS": "1"}


def test_a_number_of_threads_that_is_given_stays(machine):
    machine.setenv("OMP_NUM_THREADS", "3")
    assert crew.share(1, 2) == {}


def test_gpus_are_taken_in_turn(machine):
    machine.setattr(torch.cuda, "device_count", lambda: 2)
    assert [crew.share(number, 3)["CUDA_VISIBLE_DEVICES"] for number in range(3)] == ["0", "1", "0"]
    machine.setenv("CUDA_VISIBLE_DEVICES", "4,6,7")
    assert crew.share(1, 3)["CUDA_VISIBLE_DEVICES"] == "6"


def test_one_gpu_is_everybodys(machine):
    machine.setattr(torch.cuda, "device_count", lambda: 1)
    assert "CUDA_VISIBLE_DEVICES" not in crew.share(1, 2)
