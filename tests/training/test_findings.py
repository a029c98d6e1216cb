"""Measurements of an interrupted command are taken up by the same one, and by no other."""

from contextlib import suppress

import pytest
from omegaconf import OmegaConf

from longrange.training import findings as module
from longrange.training.findings import findings

CFG = OmegaConf.create({"steps": 3, "twice": "${steps}"})


@pytest.fixture(autouse=True)
def committed(monkeypatch):
    monkeypatch.setattr(module, "code_commit", lambda: "0123456789ab")


def interrupted(path):
    """A command that finds one thing and is stopped within the second."""

    def stopped():
        raise KeyboardInterrupt

    with suppress(KeyboardInterrupt), findings(path, CFG) as kept:
        kept.find("first", lambda: {"seconds": 1.5, "loss": [float("inf")]})
        kept.find("second", stopped)
    assert path.exists()


def found_again(path, cfg=CFG):
    """Whether the first thing is taken up."""
    with findings(path, cfg) as kept:
        return kept.find("first", lambda: None) == {"seconds": 1.5, "loss": [float("inf")]}


def test_the_same_command_goes_on_and_says_so(tmp_path, capsys):
    path = tmp_path / "unfinished.json"
    interrupted(path)
    assert found_again(path)
    assert "goes on after 1 measurements of an interrupted run" in capsys.readouterr().err
    assert not path.exists()
    assert not found_again(path)


def test_another_command_measures_anew(tmp_path):
    interrupted(tmp_path / "unfinished.json")
    assert not found_again(tmp_path / "unfinished.json", OmegaConf.merge(CFG, {"steps": 4}))


@pytest.mark.parametrize(
    ("name", "value"),
    [("code_commit", "ba9876543210"), ("hardware", {"cpu": "another"}), ("versions", {"torch": "another"})],
)
def test_other_code_and_another_machine_measure_anew(tmp_path, monkeypatch, name, value):
    interrupted(tmp_path / "unfinished.json")
    monkeypatch.setattr(module, name, lambda: value)
    assert not found_again(tmp_path / "unfinished.json")


@pytest.mark.parametrize("commit", ["0123456789ab-dirty", "unknown"])
def test_what_code_that_nobody_knows_has_found_is_not_taken_up(tmp_path, monkeypatch, commit):
    monkeypatch.setattr(module, "code_commit", lambda: commit)
    interrupted(tmp_path / "unfinished.json")
    assert not found_again(tmp_path / "unfinished.json")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"of": 1, "found": 2}', "\udcff"])
def test_a_damaged_file_is_as_none(tmp_path, content):
    path = tmp_path / "unfinished.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    assert not found_again(path)
