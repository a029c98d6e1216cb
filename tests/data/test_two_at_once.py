"""Real processes that prepare the same data at once: one works, others wait and say so, a killed one is replaced."""

import logging
import multiprocessing
import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data.web_server import CONTENT, SHA256, WebServer

from longrange.data import archives
from longrange.data.archives import ensure_unpacked
from longrange.data.arrays import Arrays, ensure_arrays
from longrange.data.fetch import Source, fetch
from longrange.data.generate import listops as generator
from longrange.data.generate.listops import Recipe, draw_distinct
from longrange.data.listops import ListOps

FORK = multiprocessing.get_context("fork")
SECONDS = 60


class Stage:
    """What the processes share: files, which a killed process leaves usable."""

    def __init__(self, folder: Path):
        self.folder, self.turns, self.stuck = folder, folder / "turns", folder / "stuck"
        self.stuck.touch()

    def middle(self) -> None:
        """Half of the work is done; while `stuck` is there, no more will be."""
        (self.folder / "working").write_text(str(os.getpid()))
        with self.turns.open("a") as file:
            file.write("x")
        while self.stuck.exists():
            time.sleep(0.01)


def encoded(stage: Stage) -> None:
    def encode(split):
        if split == "val":
            stage.middle()
        return Arrays(np.ones((5, 3), np.uint8), np.arange(5))

    ensure_arrays(stage.folder / "cache", ("train", "val"), encode)


RECIPE = Recipe(min_length=8, max_length=30, train=30, val=9, test=9)


def generated(stage: Stage) -> None:
    write = generator._write
    generator._write = lambda path, *rest: (write(path, *rest), "val" in path.name and stage.middle())
    ListOps(data_dir=stage.folder / "data", recipe=RECIPE, batch_size=1).prepare_data()


def unpack(stage: Stage) -> None:
    source, folder = Source(None, "a.tar"), stage.folder / "out"
    ensure_unpacked(source, folder, lambda: (folder / "two").exists() or (folder / "one").exists())
    assert {path.name for path in folder.iterdir()} == {"one", "two", "a.tar", "a.tar.xxh128"}


def unpacking(stage: Stage) -> None:
    write = archives._write
    archives._write = lambda archive, member, *rest: (
        write(archive, member, *rest),
        member.name == "two" and stage.middle(),
    )[0]
    unpack(stage)


def moving(stage: Stage) -> None:
    move = archives._move
    archives._move = lambda source, target: (move(source, target), target.name == "one" and stage.middle())
    unpack(stage)


ALL = pytest.mark.parametrize("prepare", [encoded, generated, unpacking, moving])


@pytest.fixture
def stage(tmp_path):
    (tmp_path / "out").mkdir()
    with tarfile.open(tmp_path / "out/a.tar", "w") as tar:
        for name in ("one", "two"):
            tar.addfile(tarfile.TarInfo(name))
    draw_distinct(RECIPE, 0, 1, lambda done: None)  # compiled before the processes are made from this one
    return Stage(tmp_path)


def run(prepare: Callable, stage: Stage, log: Path) -> None:
    logging.basicConfig(filename=log, level="INFO", force=True)
    prepare(stage)


class Others:
    """Processes that all prepare; those that still live at the end are killed."""

    def __init__(self, prepare: Callable, stage: Stage):
        self.prepare, self.stage, self.processes = prepare, stage, []

    def start(self) -> multiprocessing.Process:
        log = self.stage.folder / f"{len(self.processes)}.log"
        self.processes.append(FORK.Process(target=run, args=(self.prepare, self.stage, log)))
        self.processes[-1].start()
        return self.processes[-1]

    def said(self, number: int) -> str:
        path = self.stage.folder / f"{number}.log"
        return path.read_text() if path.exists() else ""

    def wait_for(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.join()


def left(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.partial")]


@ALL
def test_one_prepares_and_the_others_wait(stage, prepare):
    with Others(prepare, stage) as others:
        others.start()
        others.wait_for(stage.turns.exists)
        waiting = [others.start() for _ in range(2)]
        others.wait_for(lambda: all("waiting for it" in others.said(number) for number in (1, 2)))
        assert all(process.is_alive() for process in waiting)
        stage.stuck.unlink()
        for process in others.processes:
            process.join(SECONDS)
        assert [process.exitcode for process in others.processes] == [0, 0, 0]
    assert stage.turns.read_text() == "x"
    assert left(stage.folder) == []


@ALL
def test_a_killed_one_is_replaced(stage, prepare):
    """The one that waits takes over; what is half done is neither in its way nor taken for whole."""
    with Others(prepare, stage) as others:
        first = others.start()
        others.wait_for(stage.turns.exists)
        second = others.start()
        others.wait_for(lambda: "waiting for it" in others.said(1))
        assert left(stage.folder)
        first.kill()
        first.join()
        stage.stuck.unlink()
        second.join(SECONDS)
        assert second.exitcode == 0
    assert left(stage.folder) == []
    prepare(stage)


@pytest.mark.slow
@ALL
def test_of_eight_one_works_at_a_time_until_one_is_not_killed(stage, prepare):
    with Others(prepare, stage) as others:
        for _ in range(8):
            others.start()
        for turn in range(1, 4):
            others.wait_for(lambda turn=turn: stage.turns.exists() and len(stage.turns.read_text()) == turn)
            (worker,) = [p for p in others.processes if p.pid == int((stage.folder / "working").read_text())]
            worker.kill()
            worker.join()
        others.wait_for(lambda: len(stage.turns.read_text()) == 4)
        stage.stuck.unlink()
        for process in others.processes:
            process.join(SECONDS)
        assert sorted(process.exitcode for process in others.processes) == [-9] * 3 + [0] * 5
    assert stage.turns.read_text() == "xxxx"
    assert left(stage.folder) == []


def test_a_download_that_was_killed_goes_on(tmp_path):
    with WebServer() as web:
        web.plan = ["stall"]
        source = Source(web.url, "file.bin", None, SHA256)
        process = FORK.Process(target=fetch, args=(source, tmp_path))
        process.start()
        end = time.monotonic() + SECONDS
        while not ((tmp_path / "file.bin.partial").exists() and (tmp_path / "file.bin.partial").stat().st_size):
            assert time.monotonic() < end
            time.sleep(0.01)
        process.kill()
        process.join()
        assert fetch(source, tmp_path).read_bytes() == CONTENT
        assert web.asked[1] is not None
