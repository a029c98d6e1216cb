"""Damaged files: mutations of whole ones, files of another kind, arbitrary bytes; and what reading them may cost."""

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from longrange.errors import DataError

CASES = int(os.environ.get("FUZZ_CASES", "0"))
MEMORY = 512 << 20  # bytes that reading one small file may ask for
SECONDS = 20  # of the processors that reading it may take

_HUGE = [b"\xff\xff\xff\x7f", b"\x7f\xff\xff\xff", b"\xff" * 4, b"\xff" * 8, b"\xff" * 7 + b"\x7f", b"\0\0\0\x80"]
_FOREIGN = [b"\0", b"\0" * 64, b"\n", b"\r\n", b"\t", b",", b":", b'"', b"-1", b"1e999", b"nan", b"\xff\xfe", b"\xc3"]
_LONG = [b"\0" * 70_000, b"9" * 70_000, b"x" * 70_000, b"[" * 70_000, b"\n" * 70_000, "é".encode() * 35_000]
_OTHER_KINDS = [
    b"", b"\0", b"<html><body>404 Not Found</body></html>", b"PK\x05\x06" + b"\0" * 18, b"\x1f\x8b\x08" + b"\0" * 7,
    b"\x89PNG\r\n\x1a\n", b"RIFF\xff\xff\xff\xffWAVEfmt ", b"fLaC\0\0\0\x22", b"OggS", b"\x93NUMPY\x01\0v\0{",
    b"PAR1PAR1", b"ARROW1\0\0", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\x80\x04.",
    b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"{}", b"[]", b"null",
]  # fmt: skip


def fuzzed(few: int = 25) -> settings:
    """The settings of a fuzz test: a few cases, always the same; $FUZZ_CASES of them, ever new, where it is set."""
    return settings(
        phases=[Phase.explicit, Phase.generate],  # what is found is small enough to be read
        max_examples=CASES or few,
        derandomize=not CASES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def damaged(content: bytes) -> st.SearchStrategy[bytes]:
    """The content with one to four mutations; now and then something else."""
    return st.one_of(mutated(content), mutated(content), mutated(content), st.sampled_from(_OTHER_KINDS), st.binary())


@st.composite
def mutated(draw, content: bytes) -> bytes:
    """The content with one to four mutations, half of them near its beginning or its end, where headers are."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        near = st.integers(0, min(len(data), 160))
        place = draw(st.one_of(st.integers(0, len(data)), near, near.map(lambda far: len(data) - far)))
        _MUTATIONS[draw(st.sampled_from(sorted(_MUTATIONS)))](draw, data, place)
    return bytes(data)


def _cut(draw, data: bytearray, place: int) -> None:
    del data[place:]


def _flip(draw, data: bytearray, place: int) -> None:
    if place < len(data):
        data[place] ^= 1 << draw(st.integers(0, 7))


def _replace(draw, data: bytearray, place: int) -> None:
    new = draw(st.one_of(st.sampled_from(_HUGE), st.binary(min_size=1, max_size=8)))
    data[place : place + len(new)] = new


def _insert(draw, data: bytearray, place: int) -> None:
    data[place:place] = draw(st.one_of(st.sampled_from(_FOREIGN), st.sampled_from(_LONG), st.binary(max_size=30)))


def _delete(draw, data: bytearray, place: int) -> None:
    del data[place : place + draw(st.integers(1, 40))]


def _swap(draw, data: bytearray, place: int) -> None:
    other = draw(st.integers(0, len(data)))
    if max(place, other) < len(data):
        data[place], data[other] = data[other], data[place]


def _repeat(draw, data: bytearray, place: int) -> None:
    data[place:place] = data[place : place + draw(st.integers(1, 300))]


_MUTATIONS = {f.__name__: f for f in (_cut, _flip, _replace, _insert, _delete, _swap, _repeat)}


def outcome(read: Callable[[], Any]) -> Any:
    """What reading gives, or None for an error of ours in one line, within bounds of memory and time.

    Whatever else is raised passes.
    """
    with _limits():
        try:
            return read()
        except DataError as error:
            message = str(error)
    assert message.isprintable()
    assert len(message) < 1500
    return None


def _address_space() -> int:
    """Bytes that this process has set aside."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


class OverTimeError(BaseException):
    """Nothing that a reader might take for damage."""


@contextmanager
def _limits() -> Iterator[None]:
    def stop(*_):
        raise OverTimeError(f"more than {SECONDS} s of the processors")

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGPROF, stop)
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + MEMORY, hard))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGPROF, before)
