"""Bars of preparations where there is no terminal: on standard error, a line now and then, and the last state."""

import pytest

from longrange.data import progress
from longrange.data.progress import byte_bar, opened, progress_bar, readable, tracked


@pytest.fixture
def soon(monkeypatch):
    """Every change is old enough to be told."""
    monkeypatch.setattr(progress, "_PAUSE", -1.0)


def shown(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    return [" ".join(line.split()) for line in err.splitlines() if line.strip()]


def test_a_long_wait_is_told_of(soon, capsys):
    with progress_bar() as bar:
        first, second = bar.add_task("drawing", total=4), bar.add_task("writing", total=4, start=False)
        bar.advance(first, 2)
        bar.update(first, completed=4)
        bar.start_task(second)
    lines = shown(capsys)
    assert [line for line in lines if line.startswith("drawing") and "2/4" in line]
    assert not [line for line in lines[:2] if line.startswith("writing")]


def test_a_short_one_is_one_line(capsys):
    assert list(tracked(range(3), "reading [clips]")) == [0, 1, 2]
    (line,) = shown(capsys)
    assert line.startswith("reading [clips]")
    assert "3/3" in line


def test_bytes_of_a_file_and_of_a_download(soon, tmp_path, capsys):
    path = tmp_path / "file"
    path.write_bytes(b"one\ntwo\n")
    with opened(path, "reading file") as file:
        assert file.readline() == b"one\n"
    with byte_bar("download", 10) as report:
        report(5)
    lines = shown(capsys)
    assert any(line.startswith("reading file") and "4/8 bytes" in line for line in lines)
    assert any(line.startswith("download") and "5/10 bytes" in line for line in lines)


def test_sizes_for_people():
    assert [readable(size) for size in (640, 8.2e9, 84e6)] == ["640 B", "8.2 GB", "84 MB"]
