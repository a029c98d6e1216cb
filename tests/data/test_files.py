"""Locks and folders that are whole or absent."""

import threading

import pytest

from longrange.data.files import locked, whole_folder
from longrange.errors import DataError


def test_folder_appears_at_the_end(tmp_path):
    with whole_folder(tmp_path / "made") as partial:
        (partial / "file").write_text("x")
        assert not (tmp_path / "made").exists()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["made", "made/file"]


def interrupt(folder, error):
    with whole_folder(folder) as partial:
        (partial / "new").touch()
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interruption_leaves_the_old_folder(tmp_path, error):
    (tmp_path / "made").mkdir()
    (tmp_path / "made/old").touch()
    with pytest.raises(error):
        interrupt(tmp_path / "made", error)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["made", "made/old"]


def test_remains_of_a_killed_process_are_removed(tmp_path):
    (tmp_path / "made.partial").mkdir()
    (tmp_path / "made.partial/remains").touch()
    with whole_folder(tmp_path / "made"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["made"]


def test_a_linked_folder_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    with whole_folder(tmp_path / "link") as partial:
        (partial / "file").touch()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk/file").exists()


@pytest.mark.parametrize("use", [locked, whole_folder])
def test_a_place_that_cannot_be_written(tmp_path, use):
    (tmp_path / "file").touch()
    with (
        pytest.raises(DataError, match=r"file/made: cannot be written \(.+\); choose another place"),
        use(tmp_path / "file/made"),
    ):
        pass


def test_lock_keeps_others_out_and_says_so(tmp_path, caplog):
    caplog.set_level("INFO")
    order, waiting = [], threading.Event()

    def other():
        waiting.set()
        with locked(tmp_path / "made"):
            order.append("other")

    thread = threading.Thread(target=other)
    with locked(tmp_path / "made"):
        thread.start()
        waiting.wait()
        thread.join(timeout=0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "other"]
    assert f"another process is preparing {tmp_path / 'made'}; waiting for it" in caplog.messages


def test_lock_is_released_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), locked(tmp_path / "made"):
        raise RuntimeError
    with locked(tmp_path / "made"):
        pass
