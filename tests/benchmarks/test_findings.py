"""Measurements of an interrupted command are taken up by the same one, and by no other."""

from contextlib import suppress

import pytest
from omegaconf import OmegaConf

from longrange.benchmarks import findings as module
from longrange.benchmarks.findings import findings

CFG = OmegaConf.create({"steps": 3, "twice": "${steps}"})


@pytest.fixture(autouse=True)
def committed(monkeypatch):
    monkeypatch.setattr(module, "commit", lambda: "0123456789ab")


def interrupted(folder, cfg=CFG):
    """A command that finds one thing and is stopped within the second; the file that it leaves."""

    def stopped():
        raise KeyboardInterrupt

    with suppress(KeyboardInterrupt), findings(folder, cfg) as kept:
        kept.find("first", lambda: {"seconds": 1.5, "loss": [float("inf")]})
        kept.find("second", stopped)
    return newest(folder)


def newest(folder):
    return max(folder.glob("unfinished-*.json"), key=lambda path: path.stat().st_mtime_ns)


def found_again(folder, cfg=CFG):
    """Whether the first thing is taken up."""
    with findings(folder, cfg) as kept:
        return kept.find("first", lambda: None) == {"seconds": 1.5, "loss": [float("inf")]}


def test_the_same_command_goes_on_and_says_so(tmp_path, capsys):
    path = interrupted(tmp_path)
    assert found_again(tmp_path)
    assert "goes on after 1 measurements of an interrupted run" in capsys.readouterr().err
    assert not path.exists()
    assert not found_again(tmp_path)


def test_another_command_measures_anew_and_leaves_the_first_one_its_own(tmp_path):
    interrupted(tmp_path)
    other = OmegaConf.merge(CFG, {"steps": 4})
    assert not found_again(tmp_path, other)
    interrupted(tmp_path, other)
    assert found_again(tmp_path)
    assert found_again(tmp_path, other)


@pytest.mark.parametrize(
    ("name", "value"),
    [("commit", "ba9876543210"), ("hardware", {"cpu": "another"}), ("versions", {"torch": "another"})],
)
def test_other_code_and_another_machine_measure_anew(tmp_path, monkeypatch, name, value):
    interrupted(tmp_path)
    monkeypatch.setattr(module, name, lambda: value)
    assert not found_again(tmp_path)


@pytest.mark.parametrize("commit", ["0123456789ab-dirty", "unknown"])
def test_what_code_that_nobody_knows_has_found_is_not_taken_up(tmp_path, monkeypatch, commit):
    monkeypatch.setattr(module, "commit", lambda: commit)
    interrupted(tmp_path)
    assert not found_again(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"of": 1, "found": 2}', "\udcff"])
def test_a_damaged_file_is_as_none(tmp_path, content):
    interrupted(tmp_path).write_bytes(content.encode(errors="surrogateescape"))
    assert not found_again(tmp_path)
