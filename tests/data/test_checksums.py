"""Lists of checksums: what was sealed is told from what has changed, wherever it changed, and without reading twice."""

import os
import shutil
import subprocess

import pytest

from longrange.data import checksums
from longrange.data.checksums import LIST, check, checksum, fault, seal, write_list
from longrange.errors import DataError


@pytest.fixture
def sealed(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    for name in ("a.npy", "b.npy"):
        (folder / name).write_bytes(name.encode() * 1000)
    seal(folder)
    return folder


def flip(path, place: int) -> None:
    """Change one bit and nothing else that the system tells of."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[place] ^= 1
    path.unlink()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_an_intact_folder(sealed):
    assert fault(sealed) is None


@pytest.mark.parametrize("place", [0, 2500, -1])
def test_one_flipped_bit(sealed, place):
    flip(sealed / "b.npy", place)
    assert fault(sealed) == "b.npy is damaged"


@pytest.mark.parametrize("place", [0, 3, 33, -1])
def test_a_flipped_bit_in_the_list(sealed, place):
    flip(sealed / LIST, place)
    assert fault(sealed)


def test_what_is_missing_or_unknown_is_named(sealed):
    (sealed / "c.npy").touch()
    assert fault(sealed) == "c.npy has no checksum"
    (sealed / "c.npy").unlink()
    (sealed / "a.npy").unlink()
    assert fault(sealed) == "a.npy is missing"
    (sealed / LIST).unlink()
    assert fault(sealed) == f"{LIST} is missing"
    shutil.rmtree(sealed)
    assert fault(sealed) == f"{LIST} is missing"


def test_hidden_files_of_the_system_are_nobodys_damage(sealed):
    (sealed / ".nfs0001").touch()
    assert fault(sealed) is None


def test_a_process_reads_an_unchanged_folder_once(sealed, monkeypatch):
    assert fault(sealed) is None
    with monkeypatch.context() as patch:
        patch.setattr(checksums, "checksum", lambda *arguments: pytest.fail("read again"))
        assert fault(sealed) is None
    with (sealed / "a.npy").open("r+b") as file:
        file.write(b"x")
    assert fault(sealed) == "a.npy is damaged"


def test_a_bar_is_shown_where_reading_takes_long(sealed, monkeypatch, capsys):
    monkeypatch.setattr(checksums, "_SHOWN", 1000)
    assert fault(sealed) is None
    assert "comparing checksums" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("xxh128sum") is None, reason="xxh128sum is not installed")
def test_the_list_is_one_of_xxh128sum(sealed):
    done = subprocess.run(["xxh128sum", "--check", LIST], cwd=sealed, capture_output=True, text=True, check=True)
    assert done.stdout.count(": OK") == 2


def test_the_checksum_is_that_of_the_published_algorithm(tmp_path):
    """XXH3, 128 bits, of nothing and of a text, from the specification's own tool."""
    (tmp_path / "x").touch()
    assert checksum(tmp_path / "x") == "99aa06d3014798d86001c324468d497f"


class TestSources:
    """Files that were downloaded, unpacked or generated here, and others beside them."""

    @pytest.fixture
    def folder(self, tmp_path):
        for name in ("bed/x.wav", "go/y.wav", "go/z.wav"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(name.encode() * 50)
        names = ("bed/x.wav", "go/y.wav")
        write_list(tmp_path / "a.tar.gz.xxh128", {name: checksum(tmp_path / name) for name in names})
        return tmp_path

    def test_unchanged(self, folder):
        check(folder, [folder / "bed", folder / "go"])

    def test_files_in_no_list_may_be_anything(self, folder):
        flip(folder / "go/z.wav", 5)
        check(folder, [folder / "go"])

    def test_a_changed_file_is_named(self, folder):
        flip(folder / "go/y.wav", 5)
        with pytest.raises(DataError, match=r"go/y\.wav: has changed since .*; get it again, or remove .*gz\.xxh"):
            check(folder, [folder / "go"])
        check(folder, [folder / "bed"])
        check(folder, [folder / "bed/x.wav"])

    def test_a_missing_file_is_named(self, folder):
        (folder / "bed/x.wav").unlink()
        with pytest.raises(DataError, match=r"bed/x\.wav: missing, though a\.tar\.gz\.xxh128 lists it; unpack it"):
            check(folder, [folder / "bed"], "unpack it")

    def test_a_damaged_list_is_named(self, folder):
        (folder / "a.tar.gz.xxh128").write_bytes(b"\xff\n")
        with pytest.raises(DataError, match=r"a\.tar\.gz\.xxh128: cannot be read or compared"):
            check(folder, [folder / "bed"])
