"""A file is the new one or the old one, and nothing else lies beside it."""

import os

import pytest

from longrange.whole_files import write_whole


def test_a_file_and_its_folder_are_made(tmp_path):
    path = tmp_path / "a/b/file"
    assert write_whole(path, b"new") == path
    assert write_whole(path, b"newer").read_bytes() == b"newer"
    assert [file.name for file in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_cut_off_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = write_whole(tmp_path / "file", b"old")
    monkeypatch.setattr(os, step, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("file", b"old")]


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    path = write_whole(tmp_path / "file", b"old")
    with pytest.raises(TypeError):
        write_whole(path, None)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("file", b"old")]


def test_others_may_read_it_as_far_as_the_system_lets_them(tmp_path):
    before = os.umask(0o027)
    try:
        assert write_whole(tmp_path / "file", b"").stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)
