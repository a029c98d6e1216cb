"""Preparing one task or all of them."""

import pytest

from longrange.data.listops import ListOps
from longrange.data.prepare import prepare, prepare_all
from longrange.errors import ConfigError, DataError


class Broken:
    """A task whose data cannot be had."""

    def __init__(self, problem: Exception):
        self.problem = problem

    def prepare_data(self) -> None:
        raise self.problem


@pytest.fixture
def task(made, tmp_path, recipe) -> ListOps:
    return ListOps(data_dir=made, cache_dir=tmp_path / "cache", recipe=recipe, batch_size=16)


def test_table_and_picture(task, tmp_path, capsys):
    prepare(task, None)
    assert "listops, prepared in" in capsys.readouterr().out
    prepare(task, tmp_path / "preview [old]")
    assert f"a picture of some is {tmp_path / 'preview [old]/listops.png'}" in capsys.readouterr().out
    assert (tmp_path / "preview [old]/listops.png").read_bytes().startswith(b"\x89PNG")


def test_a_task_without_preview(task, tmp_path, monkeypatch):
    monkeypatch.delattr(ListOps, "preview")
    with pytest.raises(DataError, match="listops: has no preview; leave out preview=true"):
        prepare(task, tmp_path)


def test_what_fails_does_not_stop_the_rest(task, capsys):
    broken = {"a": Broken(DataError("no such file")), "c": Broken(KeyError("key"))}
    tasks = {"a": broken["a"], "b": ConfigError("wrong value"), "c": broken["c"], "listops": task}
    failures = prepare_all(tasks, None)
    assert list(failures) == ["a", "b", "c"]
    assert failures["a"] == "no such file"
    assert failures["b"] == "wrong value"
    assert failures["c"] == "a bug, its traceback is above (KeyError)"
    printed = capsys.readouterr()
    assert "KeyError: 'key'" in printed.err
    assert "listops, prepared in" in printed.out
