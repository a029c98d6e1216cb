"""What comes from elsewhere is data: it is never run, and never costs more than it should."""

import ast
import gzip
import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import longrange
from longrange.data import text_files
from longrange.data.archives import unpack
from longrange.data.arrays import ArrayDataset, mapped
from longrange.data.cache import SequenceDataset
from longrange.data.text_files import read
from longrange.errors import DataError

SOURCES = sorted(Path(longrange.__file__).parent.rglob("*.py"))
RUNS_CODE = {
    "pickle.load", "pickle.loads", "pickle.Unpickler", "np.load", "numpy.load", "torch.load", "eval", "exec", "compile",
    "os.system", "os.popen", "subprocess.call", "subprocess.check_call", "subprocess.check_output", "yaml.load",
    "marshal.loads", "shelve.open", "joblib.load", "runpy.run_path", "tar.extractall", "shutil.unpack_archive",
}  # fmt: skip
# With the arguments that make them safe, looked at by hand.
KNOWN = {
    ("training/checkpoint.py", "torch.load"): "weights_only=True",
}


class Calls:
    """Something that is called when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def calls(file: Path):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), ast.unparse(node)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.relative_to(SOURCES[0].parents[0]).as_posix())
def test_nothing_in_the_package_runs_what_it_reads(file):
    for name, call in calls(file):
        if name in RUNS_CODE:
            argument = KNOWN.get((file.relative_to(Path(longrange.__file__).parent).as_posix(), name), "nothing")
            assert argument in call, call
        assert "allow_pickle=True" not in call
        assert "extractall" not in name


class TestArchives:
    """An archive made to harm costs little and leaves nothing."""

    @pytest.fixture
    def refused(self, tmp_path):
        def refused(content: bytes, why: str) -> None:
            (tmp_path / "a.tar.gz").write_bytes(content)
            with pytest.raises(DataError, match=why):
                unpack(tmp_path / "a.tar.gz", tmp_path / "out")
            assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]

        return refused

    @staticmethod
    def tar(*infos: tarfile.TarInfo, mode="w:gz", **options) -> bytes:
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode=mode, **options) as archive:
            for info in infos:
                archive.addfile(info, io.BytesIO(bytes(info.size)))
        return made.getvalue()

    @staticmethod
    def info(name: str, size: int = 0, **values) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.size = size
        for key, value in values.items():
            setattr(info, key, value)
        return info

    def test_a_thousand_to_one(self, refused):
        refused(self.tar(self.info("zeros", 150_000_000)), "holds more than 100 MB unpacked")

    def test_a_thousand_to_one_in_a_zip_file(self, refused):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros", "w") as file:
            for _ in range(150):
                file.write(bytes(10**6))
        refused(made.getvalue(), "holds more than 100 MB unpacked")

    def test_members_nobody_asked_for_count_as_they_are_read_past(self, tmp_path):
        (tmp_path / "a.tar.gz").write_bytes(self.tar(self.info("zeros", 150_000_000), self.info("small")))
        with pytest.raises(DataError, match="holds more than 100 MB unpacked"):
            unpack(tmp_path / "a.tar.gz", tmp_path / "out", ["small"])

    def test_zeros_after_the_end(self, refused):
        refused(self.tar(self.info("x")) + gzip.compress(bytes(150_000_000)), "holds more than 100 MB unpacked")

    @pytest.mark.parametrize("format_", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
    def test_names_of_many_megabytes(self, refused, format_):
        refused(self.tar(self.info("x" * 5_000_000), format=format_), r"a header of 5,000,0\d\d bytes")

    def test_sizes_below_zero(self, refused):
        header = bytearray(self.info("x").tobuf())
        header[124:136] = b"\xff" * 12  # -1
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        refused(bytes(header) + bytes(1024), "a header of -1 bytes")

    def test_sizes_below_zero_in_further_headers(self, refused):
        info = self.info("x", pax_headers={"size": "-1024"})
        refused(self.tar(info, format=tarfile.PAX_FORMAT), "holds more than|damaged or not an archive")

    def test_sparse_files(self, refused):
        info = self.info("x", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "x",
                                           "GNU.sparse.realsize": str(10**15)})  # fmt: skip
        refused(self.tar(info, format=tarfile.PAX_FORMAT), "is a device|damaged or not an archive")

    @pytest.mark.parametrize("name", ["a\nb", "..\\x"])
    def test_odd_names(self, refused, name):
        refused(self.tar(self.info(name)), "would be written outside the folder")

    @pytest.mark.parametrize("mode", ["w:xz", "w:bz2"])
    def test_other_compressions_are_not_tried(self, refused, mode):
        """Those of xz may ask for gigabytes of memory."""
        refused(self.tar(self.info("x"), mode=mode), "damaged or not an archive of a known kind")

    def test_a_directory_that_lost_its_end(self, refused):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            for name in "abc":
                archive.writestr(name, name)
        content = bytearray(made.getvalue())
        comment = content.index(b"PK\x01\x02") + 32
        content[comment : comment + 2] = b"\xff\xff"
        refused(bytes(content), "holds 1 of 3 members")

    def test_modes_are_not_taken_over(self, tmp_path):
        (tmp_path / "a.tar.gz").write_bytes(self.tar(self.info("program", mode=0o6777)))
        unpack(tmp_path / "a.tar.gz", tmp_path / "out")
        assert (tmp_path / "out/program").stat().st_mode & 0o7111 == 0


def test_pickles_in_the_place_of_arrays(tmp_path):
    content = pickle.dumps(Calls(tmp_path / "ran"))
    np.save(tmp_path / "object.npy", np.array([Calls(tmp_path / "ran")], object), allow_pickle=True)
    (tmp_path / "bare.npy").write_bytes(content)
    np.savez(tmp_path / "zip", x=np.zeros(3))
    (tmp_path / "zip.npy").write_bytes((tmp_path / "zip.npz").read_bytes())
    for name in ("object.npy", "bare.npy", "zip.npy"):
        with pytest.raises(ValueError, match=name):
            mapped(tmp_path / name)
    (tmp_path / "train.inputs.npy").write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        ArrayDataset(tmp_path / "train", None)
    assert not (tmp_path / "ran").exists()


METADATA = [
    lambda code: {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": code},
    lambda code: {b"PARQUET:pandas": code, b"pandas": code},
]


@pytest.mark.parametrize("metadata", METADATA)
def test_metadata_of_columns_are_not_run(tmp_path, metadata):
    """Older Arrow unpickled what it found there."""
    said = metadata(pickle.dumps(Calls(tmp_path / "ran")))
    text = pa.field("text", pa.string(), metadata=said)
    schema = pa.schema([text, pa.field("label", pa.int64())], metadata=said)
    for split in ("train", "test"):
        pq.write_table(pa.table([["a", "b"], [0, 1]], schema=schema), tmp_path / f"{split}.parquet")
    assert read([tmp_path / "train.parquet", tmp_path / "test.parquet"])["train"].texts == ["a", "b"]
    tokens = pa.field("tokens", pa.large_list(pa.uint8()), metadata=said)
    schema = pa.schema([tokens, pa.field("target", pa.int64())], metadata=said)
    with pa.ipc.new_stream(tmp_path / "x.arrow", schema) as writer:
        writer.write_table(pa.table([[[1, 2]], [0]], schema=schema))
    assert SequenceDataset(tmp_path / "x.arrow").row(0).tolist() == [1, 2]
    assert not (tmp_path / "ran").exists()


def test_one_page_that_stands_for_gigabytes(tmp_path, monkeypatch):
    """A dictionary of one long text, and thousands of references to it."""
    monkeypatch.setattr(text_files, "_MOST", 10**7)
    texts = pa.DictionaryArray.from_arrays(np.zeros(5000, np.int32), ["x" * 900_000])
    table = pa.table({"text": texts, "label": pa.array([0] * 5000)})
    for split in ("train", "test"):
        pq.write_table(table, tmp_path / f"{split}.parquet")
    assert (tmp_path / "train.parquet").stat().st_size < 10**6
    with pytest.raises(DataError, match=r"row 11: more than 10 MB of reviews"):
        read([tmp_path / "train.parquet", tmp_path / "test.parquet"])
