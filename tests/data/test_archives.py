"""Archives: what is right is unpacked whole, what is evil or broken not at all."""

import gzip
import hashlib
import io
import stat
import tarfile
import zipfile

import pytest
from data.web_server import WebServer

from longrange.data.archives import ensure_unpacked, unpack
from longrange.data.checksums import ENDING
from longrange.data.fetch import Source
from longrange.errors import DataError

FILES = {"set/one/a.txt": b"a" * 3000, "set/one/b.txt": b"", "set/two/c.txt": b"c" * 70_000, "read.me": b"hello"}


def entry(name: str, **values) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in values.items():
        setattr(info, key, value)
    return info


def tar_of(path, files=FILES, extra=(), mode="w:gz"):
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            tar.addfile(entry(name, size=len(content)), io.BytesIO(content))
        for info in extra:
            tar.addfile(info, io.BytesIO(b"\0" * info.size))
    return path


def zip_of(path, files=FILES, **values):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for key, value in values.items():
                setattr(info, key, value)
            archive.writestr(info, content)
    return path


def contents(folder) -> dict[str, bytes]:
    """What was unpacked, without the list of its checksums."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ENDING)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


ARCHIVES = {
    "tar": lambda path, files=FILES: tar_of(path, files, mode="w"),
    "tar.gz": tar_of,
    "zip": zip_of,
}


@pytest.fixture(params=ARCHIVES)
def make(request, tmp_path):
    return lambda files=FILES: ARCHIVES[request.param](tmp_path / "archive.gz", files)


def refused(archive, folder, why, **limits):
    """The archive gives one line and leaves nothing."""
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(DataError, match=why) as caught:
        unpack(archive, folder, **limits)
    assert str(archive) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(folder.parent.rglob("*")) == before


def test_everything_is_unpacked(make, tmp_path):
    unpack(make(), tmp_path / "out")
    assert contents(tmp_path / "out") == FILES
    assert {path.name for path in tmp_path.iterdir()} == {"out", "archive.gz"}


@pytest.mark.parametrize("chosen", [["set/one"], ["set/one/"], ["./set/one"], ["set/one/a.txt", "set/one/b.txt"]])
def test_chosen_members(make, tmp_path, chosen):
    unpack(make(), tmp_path / "out", chosen)
    assert set(contents(tmp_path / "out")) == {"set/one/a.txt", "set/one/b.txt"}


def test_a_name_that_only_begins_alike_is_not_chosen(make, tmp_path):
    unpack(make({"set/one": b"1", "set/one.bak": b"2"}), tmp_path / "out", ["set/one"])
    assert contents(tmp_path / "out") == {"set/one": b"1"}


def test_what_was_there_stays(make, tmp_path):
    for name in ("set/one/mine.txt", "set/one/a.txt"):
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_bytes(b"old")
    unpack(make(), tmp_path / "out")
    assert contents(tmp_path / "out") == FILES | {"set/one/mine.txt": b"old"}


def test_a_linked_folder_stays_a_link(make, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    unpack(make(), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert contents(tmp_path / "disk") == FILES


@pytest.mark.parametrize("name", ["/etc/evil", "../evil", "set/../../evil", "set\\..\\..\\evil"])
def test_names_outside_the_folder(make, tmp_path, name):
    refused(make(FILES | {name: b"evil"}), tmp_path / "out", "would be written outside the folder")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "info",
    [
        entry("link", type=tarfile.SYMTYPE, linkname="/etc"),
        entry("link", type=tarfile.SYMTYPE, linkname="set/one"),
        entry("link", type=tarfile.LNKTYPE, linkname="../../secret"),
    ],
)
def test_links(tmp_path, info):
    refused(tar_of(tmp_path / "a.tar.gz", extra=[info, entry("link/evil")]), tmp_path / "out", "'link' is a link")


def test_links_in_zip(tmp_path):
    archive = zip_of(tmp_path / "a.zip", {"link": b"/etc"}, external_attr=(stat.S_IFLNK | 0o777) << 16)
    refused(archive, tmp_path / "out", "'link' is a link")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices(tmp_path, kind):
    archive = tar_of(tmp_path / "a.tar.gz", extra=[entry("dev", type=kind)])
    refused(archive, tmp_path / "out", "'dev' is a device")


def test_decompression_bomb(make, tmp_path):
    refused(make({"bomb": b"\0" * 2_000_000}), tmp_path / "out", "more than 1.0 MB unpacked", max_bytes=1_000_000)


def test_a_bomb_that_was_not_chosen_does_not_count(make, tmp_path):
    unpack(make({"bomb": b"\0" * 2_000_000, "a": b"1"}), tmp_path / "out", ["a"], max_bytes=10)
    assert contents(tmp_path / "out") == {"a": b"1"}


def test_too_many_files(make, tmp_path):
    refused(make({str(number): b"" for number in range(11)}), tmp_path / "out", "more than 10 files", max_files=10)


def test_a_folder_in_the_place_of_a_file(make, tmp_path):
    with pytest.raises(DataError, match="cannot be written"):
        unpack(make({"a": b"1", "a/b": b"2"}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_cut_archives(make, tmp_path, share):
    archive = make()
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(share * len(whole))])
    refused(archive, tmp_path / "out", "damaged or not an archive")


def test_not_an_archive(tmp_path):
    (tmp_path / "page.html").write_text("<html>not found</html>" * 100)
    refused(
        tmp_path / "page.html",
        tmp_path / "out",
        "damaged or not an archive of a known kind",
    )


def test_flipped_content(tmp_path):
    archive = zip_of(tmp_path / "a.zip", {"a": bytes(range(256)) * 10})
    damaged = bytearray(archive.read_bytes())
    damaged[60] ^= 0xFF
    archive.write_bytes(damaged)
    refused(archive, tmp_path / "out", "damaged or not an archive")


def test_a_damaged_header_is_not_the_end(tmp_path):
    raw = bytearray(gzip.decompress(tar_of(tmp_path / "a.tar.gz").read_bytes()))
    second = 512 + 3072
    assert raw[second : second + 13] == b"set/one/b.txt"
    raw[second] = ord("x")
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(bytes(raw)))
    refused(tmp_path / "a.tar.gz", tmp_path / "out", "it ends before its end mark")


def test_a_wrong_checksum_inside_gzip(tmp_path):
    archive = tar_of(tmp_path / "a.tar.gz")
    archive.write_bytes(archive.read_bytes()[:-8] + b"\0" * 8)
    refused(archive, tmp_path / "out", "damaged or not an archive")


def test_encrypted_zip(tmp_path):
    archive = zip_of(tmp_path / "a.zip", {"a": b"1"})
    content = bytearray(archive.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    refused(archive, tmp_path / "out", "is encrypted")


def test_absent_members(make, tmp_path):
    refused(make(), tmp_path / "out", "holds no set/three or x; is it the right archive", chosen=["set/three", "x"])


def test_fetched_and_unpacked_once(tmp_path):
    archive = tar_of(tmp_path / "a.tar.gz")
    checksum = f"md5:{hashlib.md5(archive.read_bytes()).hexdigest()}"
    with WebServer() as web:
        web.content = archive.read_bytes()
        source = Source(web.url, "archive.tar.gz", None, checksum)
        for _ in range(2):
            ensure_unpacked(source, tmp_path / "out", (tmp_path / "out/set/two").is_dir, ["set"])
        assert len(web.asked) == 1
    assert set(contents(tmp_path / "out")) == set(FILES) - {"read.me"} | {"archive.tar.gz", "archive.tar.gz.lock"}
