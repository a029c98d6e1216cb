"""Servers that stall, trickle, lie or send other things: a whole file or one line, in bounded time, nothing spoilt."""

import time

import pytest
from data.web_server import CONTENT, SHA256, WebServer

from longrange.data.fetch import Source, fetch
from longrange.errors import DataError

TIMEOUT = 0.25


@pytest.fixture
def web():
    with WebServer() as server:
        yield server


def get(web, folder, checksum=SHA256, attempts=2):
    source = Source(web.url, "file.bin", len(CONTENT), checksum, "click on the button")
    return fetch(source, folder, timeout=TIMEOUT, attempts=attempts, pause=0.01)


LOST = {
    "silence": "no answer for 0.25 s",
    "garbage": "no connection",
    "long line": "no connection",
    "trickling head": "no answer for",
    "trickle": "bytes in 0.25 s are too slow",
    "promises more": r"the connection ended after 262,144 of 262,145 bytes",
    "bad chunks": "no connection",
}


@pytest.mark.parametrize("trouble", LOST)
def test_a_server_in_trouble_is_left_in_time_and_asked_again(web, tmp_path, trouble):
    web.plan = [trouble] * 2
    began = time.monotonic()
    with pytest.raises(DataError, match=LOST[trouble]) as caught:
        get(web, tmp_path)
    assert time.monotonic() - began < 30 * TIMEOUT
    assert str(caught.value).isprintable()
    assert "click on the button" in str(caught.value)
    assert not (tmp_path / "file.bin").exists()
    web.plan = [trouble]
    assert get(web, tmp_path).read_bytes() == CONTENT


def test_a_trickle_never_counts_as_getting_further(web, tmp_path):
    web.plan = ["trickle"] * 50
    with pytest.raises(DataError, match="too slow"):
        get(web, tmp_path, attempts=3)
    assert len(web.asked) == 3


FINAL = {
    "web page": "the server sends a web page, not the file",
    "endless": r"the server sends more than 1\.6 MB",
    "promises too much": r"the server sends more than 1\.6 MB",
    "moved to itself": "the server says 302 .* infinite loop",
    "moved to a file": "the server says 302 .* not allowed",
    "promises less": "what it sent is not the published file",
    "half, no length": "what it sent is not the published file",
}


@pytest.mark.parametrize("trouble", FINAL)
def test_what_is_not_the_file_is_refused(web, tmp_path, trouble):
    web.plan = [trouble]
    with pytest.raises(DataError, match=FINAL[trouble]) as caught:
        get(web, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("file.bin*[!k]"))
    web.plan = []
    assert get(web, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("trouble", ["moved", "no length"])
def test_what_other_servers_do(web, tmp_path, trouble):
    web.plan = [trouble]
    assert get(web, tmp_path).read_bytes() == CONTENT


def test_a_redirection_to_nowhere(web, tmp_path):
    web.plan = ["moved nowhere", "moved nowhere"]
    with pytest.raises(DataError, match=r"^http\S+: .+click on the button") as caught:
        get(web, tmp_path, attempts=1)
    assert "\n" not in str(caught.value)


def test_a_name_that_nobody_knows(tmp_path):
    """As without a network: four attempts take their pauses, no more."""
    began = time.monotonic()
    with pytest.raises(DataError, match=r"no connection \(.+\); by hand: download http://nowhere\.invalid/x"):
        fetch(Source("http://nowhere.invalid/x", "x"), tmp_path, timeout=5, pause=0.01)
    assert time.monotonic() - began < 30


def test_without_a_published_checksum_what_came_is_remembered(web, tmp_path):
    path = get(web, tmp_path, checksum=None)
    assert (tmp_path / "file.bin.xxh128").read_text().endswith("  file.bin\n")
    assert path.read_bytes() == CONTENT
