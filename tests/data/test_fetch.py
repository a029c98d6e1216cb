"""Downloads from a server on this machine: whole, resumed, checked, or one line."""

import hashlib
import shutil
import socket
import subprocess
import sys
from collections import namedtuple

import pytest
from data.web_server import CONTENT, SHA256, WebServer

from longrange.data.fetch import Source, fetch, matches
from longrange.errors import DataError

HALF = len(CONTENT) // 2


@pytest.fixture
def web():
    with WebServer() as server:
        yield server


@pytest.fixture
def source(web) -> Source:
    return Source(web.url, "file.bin", len(CONTENT), SHA256, "click on the button")


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def get(source, folder, **options):
    return fetch(source, folder, **{"timeout": 0.3, "attempts": 2, "pause": 0.01} | options)


def test_file_arrives_whole_and_once(web, source, tmp_path):
    path = get(source, tmp_path / "new/folder")
    assert path == tmp_path / "new/folder/file.bin"
    assert path.read_bytes() == CONTENT
    assert get(source, tmp_path / "new/folder") == path
    assert web.asked == [None]
    assert names(path.parent) == {"file.bin"}


@pytest.mark.parametrize("trouble", ["cut", "stall"])
def test_the_next_attempt_goes_on(web, source, tmp_path, trouble):
    web.plan = [trouble]
    assert get(source, tmp_path).read_bytes() == CONTENT
    assert web.asked == [None, f"bytes={HALF}-"]


@pytest.mark.parametrize(("trouble", "why"), [("cut", f"ended after {HALF:,} of"), ("stall", "no answer for 0.3 s")])
def test_the_next_command_goes_on(web, source, tmp_path, trouble, why):
    web.plan = [trouble]
    with pytest.raises(DataError, match=why) as caught:
        get(source, tmp_path, attempts=1)
    message = str(caught.value)
    assert "131 kB are kept, run this again to go on" in message
    assert f"by hand: click on the button, and put it at {tmp_path / 'file.bin'}" in message
    assert "\n" not in message
    assert names(tmp_path) == {"file.bin.partial", "file.bin.partial-version"}
    assert get(source, tmp_path).read_bytes() == CONTENT
    assert web.asked[-1] == f"bytes={HALF}-"
    assert names(tmp_path) == {"file.bin"}


def test_attempts_that_get_further_do_not_count(web, source, tmp_path):
    web.plan = ["cut"] * 6
    assert get(source, tmp_path, attempts=2).read_bytes() == CONTENT
    assert len(web.asked) == 7


def test_attempts_that_begin_anew_do_count(web, source, tmp_path):
    web.plan, web.ranges = ["cut"] * 6, False
    with pytest.raises(DataError, match="ended after"):
        get(source, tmp_path, attempts=3)
    assert len(web.asked) == 3


@pytest.mark.parametrize("can", ["ranges", "marked"])
def test_a_server_that_cannot_go_on_begins_anew(web, source, tmp_path, can):
    web.plan = ["cut"]
    setattr(web, can, False)
    assert get(source, tmp_path).read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_is_not_mixed(web, source, tmp_path):
    web.plan = ["cut"]
    with pytest.raises(DataError):
        get(source, tmp_path, attempts=1)
    web.content = CONTENT[::-1]
    assert get(Source(web.url, "file.bin"), tmp_path).read_bytes() == CONTENT[::-1]


def test_the_wrong_part_is_not_used(web, source, tmp_path):
    web.plan = ["cut", "shifted"]
    assert get(source, tmp_path, attempts=3).read_bytes() == CONTENT
    assert web.asked == [None, f"bytes={HALF}-", None]


@pytest.mark.parametrize("surplus", [b"", b"more than there is"])
def test_killed_after_the_last_byte(web, source, tmp_path, surplus):
    web.plan = ["cut"]
    with pytest.raises(DataError):
        get(source, tmp_path, attempts=1)
    (tmp_path / "file.bin.partial").write_bytes(CONTENT + surplus)
    assert get(source, tmp_path).read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(web, source, tmp_path):
    web.plan = [503]
    assert get(source, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_is_final(web, source, tmp_path, status):
    web.plan = [status]
    with pytest.raises(DataError, match=rf"{web.url}: the server says {status} .+; by hand: click on the button"):
        get(source, tmp_path)
    assert len(web.asked) == 1


def test_nobody_answers(source, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(DataError, match=r"no connection \(Connection refused\); by hand: download"):
        get(Source(f"http://127.0.0.1:{port}/x", "x"), tmp_path)


def test_no_address(tmp_path):
    with pytest.raises(DataError, match="not an address"):
        get(Source("file.bin", "file.bin"), tmp_path)


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_checksum(web, tmp_path, algorithm):
    checksum = f"{algorithm}:{hashlib.new(algorithm, CONTENT).hexdigest()}"
    assert matches(get(Source(web.url, "file.bin", None, checksum), tmp_path), checksum)
    assert not matches(tmp_path / "file.bin", f"{algorithm}:{'0' * 32}")


def test_wrong_content_is_removed(web, source, tmp_path):
    web.content = CONTENT[:-1] + b"?"
    with pytest.raises(DataError, match=r"not the published file \(sha256:\w+ expected\); run this again; or by hand"):
        get(source, tmp_path)
    assert names(tmp_path) == set()


def test_a_foreign_file_is_left_alone(web, source, tmp_path):
    (tmp_path / "file.bin").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"file.bin: not the published file .+; remove it"):
        get(source, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == b"mine"
    assert not web.asked


def test_full_disk_is_noticed_before_writing(web, source, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**6, 10**6 - 1000, 1000))
    with pytest.raises(DataError, match=r"262 kB needed for http.+, 1.0 kB free; make room"):
        get(source, tmp_path)
    assert names(tmp_path) == set()


def test_a_place_that_cannot_be_written(source, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        get(source, tmp_path / "file/folder")


@pytest.mark.parametrize(
    ("url", "download", "why"), [(None, True, "cannot be downloaded directly"), ("x", False, "off")]
)
def test_nothing_is_asked_for(tmp_path, url, download, why):
    with pytest.raises(DataError, match=rf"{why}; by hand: ask the author, and put it at {tmp_path / 'x.zip'}"):
        get(Source(url, "x.zip", by_hand="ask the author"), tmp_path, download=download)
    (tmp_path / "x.zip").touch()
    assert get(Source(url, "x.zip"), tmp_path, download=download).exists()


def test_two_processes_download_once(web, source, tmp_path):
    program = (
        "import logging, sys; from pathlib import Path; from longrange.data.fetch import Source, fetch\n"
        "logging.basicConfig(level='INFO')\n"
        f"fetch({source!r}, Path(sys.argv[1]), timeout=1, pause=0.01)"
    )
    web.plan = ["stall"]
    both = [
        subprocess.Popen([sys.executable, "-c", program, tmp_path], stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    output = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], output
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert web.asked == [None, f"bytes={HALF}-"]
