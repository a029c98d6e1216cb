"""Readers of text files get damaged ones: one line of ours, or examples that are what they should be.

A few cases in the suite; thousands, ever new ones: `FUZZ_CASES=5000 pytest tests/fuzz/test_*_readers.py`.
"""

import io
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fuzz.damage import damaged, fuzzed, outcome
from hypothesis import given

from longrange.data.listops_text import VOCABULARY, read_tsv
from longrange.data.retrieval_text import read_rows
from longrange.data.text_files import ARCHIVE, find, read

pytestmark = pytest.mark.slow

LISTOPS = b"Source\tTarget\r\n" + b"( ( ( [MAX 2 ) ( ( ( [MIN 4 ) 7 ) ] ) ) ] )\t4\r\n" * 3 + b"( ( [SM 9 ) ] )\t9\r\n"
PAIRS = b'0\t12\t7\tan abstract\tan\xc3\xa9ther\n1.0\t3\t4\ttwo "papers"\tthat cite\r\n' * 2
REVIEWS = {f"aclImdb/{s}/{label}/{i}_7.txt": f"{s} {label} é {i}".encode() for s in ("train", "test")
           for label in ("neg", "pos") for i in range(2)}  # fmt: skip


def archive() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, content in REVIEWS.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


def parquet(**options) -> bytes:
    made = io.BytesIO()
    pq.write_table(pa.table({"text": ["good", "bad", "so é"], "label": [1, 0, 1]}), made, **options)
    return made.getvalue()


ARCHIVED, PARQUET, CHECKED = archive(), parquet(), parquet(write_page_checksum=True)


@fuzzed()
@given(damaged(LISTOPS))
def test_listops(tmp_path, content):
    path = tmp_path / "basic_train.tsv"
    path.write_bytes(content)
    read_back = outcome(lambda: read_tsv(path, 64))
    if read_back:
        values, lengths, targets = read_back
        assert len(values) == lengths.sum()
        assert len(lengths) == len(targets) > 0
        assert values.max() < len(VOCABULARY)
        assert set(targets) <= set(range(10))


@fuzzed()
@given(damaged(PAIRS))
def test_retrieval(tmp_path, content):
    path = tmp_path / "new_aan_pairs.train.tsv"
    path.write_bytes(content)
    for row in outcome(lambda: list(read_rows(path, "reading"))) or []:
        assert row.label in (0, 1)


def checked(reviews):
    for texts, labels in (reviews or {}).values():
        assert len(texts) == len(labels)
        assert all(isinstance(text, str) and text for text in texts)
        assert set(labels) <= {0, 1}


@fuzzed()
@given(damaged(REVIEWS["aclImdb/train/pos/1_7.txt"]))
def test_imdb_folders(tmp_path, content):
    for name, review in REVIEWS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(review)
    (tmp_path / "aclImdb/train/pos/1_7.txt").write_bytes(content)
    checked(outcome(lambda: read(find(tmp_path))))


@fuzzed(50)
@given(damaged(ARCHIVED))
def test_imdb_archive(tmp_path, content):
    """What gzip's checksum covers is whole or refused."""
    (tmp_path / ARCHIVE).write_bytes(content)
    reviews = outcome(lambda: read(find(tmp_path)))
    if reviews:
        found = sorted(text for texts, _ in reviews.values() for text in texts)
        assert found in ([], sorted(text.decode() for text in REVIEWS.values()))


@fuzzed(50)
@given(damaged(PARQUET))
def test_imdb_parquet(tmp_path, content):
    for split in ("train", "test"):
        (tmp_path / f"{split}-0.parquet").write_bytes(content if split == "train" else PARQUET)
    checked(outcome(lambda: read(find(tmp_path))))


@fuzzed()
@given(damaged(CHECKED))
def test_imdb_parquet_with_checksums_of_pages(tmp_path, content):
    for split in ("train", "test"):
        (tmp_path / f"{split}-0.parquet").write_bytes(content if split == "train" else CHECKED)
    checked(outcome(lambda: read(find(tmp_path))))


def test_what_is_whole_is_read(tmp_path):
    """The fuzz tests would pass if everything were refused."""
    (tmp_path / "x.tsv").write_bytes(LISTOPS)
    assert np.array_equal(outcome(lambda: read_tsv(tmp_path / "x.tsv", 64)).targets, [4, 4, 4, 9])
    (tmp_path / "y.tsv").write_bytes(PAIRS)
    assert len(outcome(lambda: list(read_rows(tmp_path / "y.tsv", "reading")))) == 4
    (tmp_path / ARCHIVE).write_bytes(ARCHIVED)
    assert outcome(lambda: read(find(tmp_path)))["test"].labels == [0, 0, 1, 1]
    for split in ("train", "test"):
        (tmp_path / f"p/{split}").parent.mkdir(exist_ok=True)
        (tmp_path / f"p/{split}-0.parquet").write_bytes(CHECKED)
    assert outcome(lambda: read(find(tmp_path / "p")))["test"].texts == ["good", "bad", "so é"]
