"""What a visit takes home is unpacked whole or not at all."""

import shutil

import pytest

from longrange.orchestration.luggage import pack, unpack_run


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    for name in ("checkpoints/last.ckpt", "checkpoints/best.ckpt", "metrics.csv", "result.json"):
        (folder / name).write_text(name)
    return folder


def test_a_run_comes_back_as_it_was_packed(tmp_path, run):
    assert pack(tmp_path / "out", run, tmp_path, most_bytes=1000) == []
    assert unpack_run(tmp_path / "out", tmp_path / "there/run")
    files = {file.relative_to(run) for file in run.rglob("*.*")}
    assert files == {file.relative_to(tmp_path / "there/run") for file in (tmp_path / "there/run").rglob("*.*")}
    assert all((tmp_path / "there/run" / file).read_text() == file.as_posix() for file in files)


def test_without_a_checkpoint_there_is_no_run(tmp_path):
    assert not unpack_run(tmp_path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_killed_within_unpacking_leaves_no_part_of_a_run(tmp_path, run, monkeypatch):
    pack(tmp_path / "out", run, tmp_path, most_bytes=1000)
    copy, copied = shutil.copyfile, []

    def killed(source, target):
        if copied:
            raise KeyboardInterrupt
        copied.append(copy(source, target))

    monkeypatch.setattr(shutil, "copyfile", killed)
    with pytest.raises(KeyboardInterrupt):
        unpack_run(tmp_path / "out", tmp_path / "there/run")
    assert not (tmp_path / "there/run").exists()


def test_a_checkpoint_is_replaced_only_by_a_whole_one(tmp_path, run, monkeypatch):
    out = tmp_path / "out"
    pack(out, run, tmp_path, most_bytes=1000)
    (run / "checkpoints/last.ckpt").write_text("newer")
    monkeypatch.setattr("os.fsync", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        pack(out, run, tmp_path, most_bytes=1000)
    assert (out / "last.ckpt").read_text() == "checkpoints/last.ckpt"
