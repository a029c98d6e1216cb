"""What ran: commits, their state, and what stands beside a measurement."""

import functools
import re
import subprocess

import pytest
import torch

from longrange import provenance
from longrange.provenance import PLACE, commit_of, where_measured


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Where the running code seems to be; nothing is known of it yet."""
    package = tmp_path / "src" / "longrange"
    package.mkdir(parents=True)
    monkeypatch.setattr(provenance, "_HERE", package)
    monkeypatch.setattr(provenance, "git_state", provenance.git_state.__wrapped__)
    return tmp_path


def git(folder, *command):
    identity = ["-c", "user.name=A", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(folder), *identity, *command], check=True)


def test_the_commit_and_its_state_are_found(checkout, monkeypatch):
    assert provenance.git_state() == {"commit": None, "dirty": None}
    for told, dirty in (("0123abc", False), ("0123abc-dirty", True)):
        monkeypatch.setenv("LONGRANGE_COMMIT", told)
        assert provenance.git_state() == {"commit": "0123abc", "dirty": dirty}
        assert provenance.commit(5) == f"0123a{'-dirty' * dirty}"
    monkeypatch.setenv("LONGRANGE_COMMIT", "the newest")
    assert provenance.git_state() == {"commit": None, "dirty": None}
    git(checkout, "init", "-q")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "first")
    (checkout / "notes.txt").touch()
    state = provenance.git_state()
    assert len(state["commit"]) == 40
    assert state["dirty"] is False, "what is not run makes no difference"
    (checkout / "src" / "longrange" / "new.py").touch()
    assert provenance.git_state() == {"commit": state["commit"], "dirty": True}
    assert provenance.commit(12) == f"{state['commit'][:12]}-dirty"


def test_a_repository_around_the_code_is_not_its_own(checkout, monkeypatch):
    git(checkout, "init", "-q")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "first")
    inner = checkout / "site-packages" / "src" / "longrange"
    inner.mkdir(parents=True)
    monkeypatch.setattr(provenance, "_HERE", inner)
    assert provenance.git_state() == {"commit": None, "dirty": None}


def test_what_is_committed_while_a_command_runs_is_not_what_runs(checkout, monkeypatch):
    monkeypatch.setattr(provenance, "git_state", functools.cache(provenance.git_state))
    git(checkout, "init", "-q")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "first")
    began = provenance.commit()
    git(checkout, "commit", "-q", "--allow-empty", "-m", "second")
    assert provenance.commit() == began


def test_a_checkout_has_a_commit_and_what_differs_from_it(tmp_path):
    assert commit_of(tmp_path, "code") == "unknown"
    for folder in ("code", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_text("one\n")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    clean = commit_of(tmp_path, "code")
    assert re.fullmatch("[0-9a-f]{12}", clean)
    (tmp_path / "elsewhere" / "file").write_text("two\n")
    assert commit_of(tmp_path, "code") == clean
    (tmp_path / "code" / "file").write_text("two\n")
    assert commit_of(tmp_path, "code") == f"{clean}-dirty"


def test_code_without_a_repository_is_what_it_is_told_to_be(checkout, monkeypatch):
    monkeypatch.setenv("LONGRANGE_COMMIT", "0123abc")
    assert where_measured(torch.device("cpu"))["commit"] == "0123abc"
    monkeypatch.delenv("LONGRANGE_COMMIT")
    assert where_measured(torch.device("cpu"))["commit"] == "unknown"


def test_a_measurement_names_machine_code_and_day():
    where = where_measured(torch.device("cpu"))
    assert set(PLACE) <= set(where)
    assert where["device"] == "cpu"
    assert re.fullmatch("unknown|[0-9a-f]{7,40}(-dirty)?", where["commit"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", where["date"])
