"""IMDB reviews: every published form gives the same examples, nothing is in two splits, faults are named."""

import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra.utils import instantiate
from real_data import REAL_DATA

from longrange.cli import compose
from longrange.data.characters import decode
from longrange.data.text import N_CHARACTER_IDS, SOURCE, Text, held_out
from longrange.data.text_files import ARCHIVE, LABELS, find, read
from longrange.errors import ConfigError, DataError
from longrange.models.spec import TaskSpec

N = 20  # reviews of each class in each split


def review(split: str, label: str, number: int) -> str:
    """Texts of many lengths, some with characters of two and four bytes."""
    odd = "\N{LATIN SMALL LETTER E WITH ACUTE}\N{CLAPPER BOARD}" * (number % 3 == 0)
    return f"{label} {number} of {split}<br />" + "very " * (3 * number) + odd


def write_folder(root: Path) -> None:
    for split in ("train", "test"):
        for label in LABELS:
            folder = root / "aclImdb" / split / label
            folder.mkdir(parents=True)
            for number in range(N):
                (folder / f"{number}_7.txt").write_text(review(split, label, number))
    (root / "aclImdb/train/unsup").mkdir()
    (root / "aclImdb/train/unsup/0_0.txt").write_text("not labelled")
    (root / "aclImdb/train/labeledBow.feat").write_text("9 0:1")


@pytest.fixture
def folder(tmp_path) -> Path:
    write_folder(tmp_path / "imdb")
    return tmp_path / "imdb"


def as_archive(folder: Path) -> None:
    with tarfile.open(folder / ARCHIVE, "w:gz") as archive:
        archive.add(folder / "aclImdb", "aclImdb")
    shutil.rmtree(folder / "aclImdb")


def as_parquet(folder: Path) -> None:
    for split, (texts, labels) in read(find(folder)).items():
        table = pa.table({"text": texts, "label": labels})
        (folder / "plain_text").mkdir(exist_ok=True)
        pq.write_table(table, folder / f"plain_text/{split}-00000-of-00001.parquet")
    shutil.rmtree(folder / "aclImdb")


def make(folder: Path, **options) -> Text:
    options = {"batch_size": 4, "reviews_per_class": N, "min_freq": 1, "download": False} | options
    task = Text(data_dir=folder, **options)
    task.prepare_data()
    return task


def texts_of(task: Text, split: str) -> list[tuple[str, int]]:
    data = task.split(split)
    return [(decode(data.row(i), data.symbols), int(target)) for i, target in enumerate(data.targets)]


def published(split: str) -> list[tuple[str, int]]:
    return sorted((review(split, LABELS[label], number), label) for label in (0, 1) for number in range(N))


def test_spec_needs_no_data(tmp_path):
    spec = TaskSpec("text", "tokens", 135, 2, 4096, variable_length=True)
    assert Text(data_dir=tmp_path, batch_size=1).spec == spec
    assert Text(data_dir=tmp_path, batch_size=1, tokens="bytes").spec.input_size == 259


@pytest.mark.parametrize("tokens", ["characters", "bytes"])
def test_examples_are_the_published_texts(folder, tokens):
    task = make(folder, tokens=tokens)
    held, kept = task.preview("val", range(4)), task.preview("train", range(2 * N - 4))
    assert sorted((text, Text.classes.index(label)) for _, text, label in held + kept) == published("train")
    assert sorted((t, Text.classes.index(label)) for _, t, label in task.preview("test", range(2 * N))) == published(
        "test"
    )


def test_a_tenth_of_each_class_is_held_out(folder):
    task = make(folder)
    held, kept = texts_of(task, "val"), texts_of(task, "train")
    assert [label for _, label in held] == [0, 0, 1, 1]
    assert not {text for text, _ in held} & {text for text, _ in kept}
    assert (task.protocol, len(kept)) == ("heldout", 2 * N - 4)


def test_equal_texts_stay_together():
    texts = ["a", "b", "c", "d"] * 10
    held = held_out(texts, [0] * 40)
    assert 4 <= sum(held) < 40
    assert all(len({h for text, h in zip(texts, held, strict=True) if text == wanted}) == 1 for wanted in "abcd")


def test_the_published_protocol_selects_on_the_test_set(folder):
    task = make(folder, protocol="paper")
    assert sorted(texts_of(task, "train")) == published("train")
    assert texts_of(task, "val") == texts_of(task, "test")
    assert task.protocol == "paper"
    assert task.split("train").symbols == make(folder).split("train").symbols, "ids agree between the protocols"


@pytest.mark.parametrize("form", [as_archive, as_parquet])
def test_every_form_gives_the_same_examples(folder, form):
    expected = {split: texts_of(make(folder), split) for split in ("train", "val", "test")}
    form(folder)
    task = make(folder, cache_dir=folder / "other")
    assert {split: texts_of(task, split) for split in expected} == expected


def test_the_folder_itself_may_be_named(folder):
    assert texts_of(make(folder / "aclImdb"), "test") == texts_of(make(folder), "test")


def test_long_reviews_are_cut_and_end_alike(folder):
    data = make(folder, max_length=40).split("test")
    assert data.lengths.max() == 40
    assert {data.row(i)[-1] for i in range(len(data))} == {2}
    assert {data.row(i)[:-1].min() >= 3 for i in range(len(data))} == {True}


def test_rare_characters_have_no_id(folder):
    assert "\N{CLAPPER BOARD}" not in make(folder, min_freq=30).split("train").symbols
    assert "\N{CLAPPER BOARD}" in make(folder, min_freq=14).split("train").symbols


def test_loaders_group_like_lengths(folder):
    task = make(folder, bucket=True)
    batches = list(task.train_dataloader())
    assert len(batches) == 9
    lengths = [batch.lengths.max().item() for batch in task.test_dataloader()]
    assert lengths == sorted(lengths, reverse=True)
    padded = sum(batch.inputs.numel() for batch in batches) / sum(batch.lengths.sum().item() for batch in batches)
    assert padded < 1.15


def test_preparing_twice_reads_once(folder, monkeypatch):
    make(folder)
    monkeypatch.setattr("longrange.data.text.read", lambda paths: pytest.fail("read again"))
    make(folder)


def change(folder: Path, name: str, content: bytes | None) -> None:
    path = folder / "aclImdb" / name
    path.unlink() if content is None else path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train/neg/3_7.txt", b"", r"train/neg/3_7\.txt: is empty"),
        ("test/pos/4_7.txt", b"caf\xe9 noir", r"test/pos/4_7\.txt: not UTF-8 at byte 3"),
        ("test/neg/0_7.txt", None, r"imdb: test has 19 negative and 20 positive reviews, not 20 of each"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_faulty_reviews_are_named(folder, name, content, message, packed):
    change(folder, name, content)
    if packed:
        as_archive(folder)
    with pytest.raises(DataError, match=message):
        make(folder)


def test_a_missing_folder_is_named(folder):
    shutil.rmtree(folder / "aclImdb/test/neg")
    with pytest.raises(DataError, match=r"aclImdb/test/neg: missing; unpack aclImdb_v1\.tar\.gz again"):
        make(folder)


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_damaged_archive_is_named(folder, content):
    as_archive(folder)
    whole = (folder / ARCHIVE).read_bytes()
    (folder / ARCHIVE).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(DataError, match=r"aclImdb_v1\.tar\.gz: damaged or not an archive of a known kind"):
        make(folder)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"text": ["good", "bad"], "label": [1, -1]}, r"row 1: label -1, expected 0 or 1 and a text"),
        ({"text": ["good", None], "label": [1, 0]}, r"row 1: label 0, expected 0 or 1 and a text"),
        ({"text": ["good", ""], "label": [1, 0]}, r"row 1: is empty"),
        ({"text": ["good"], "stars": [5]}, r"has no columns text and label"),
        ({"text": [[1, 2]], "label": [5]}, r"damaged or not a parquet file of texts"),
        (None, r"damaged or not a parquet file of texts"),
    ],
)
def test_faulty_parquet_files_are_named(tmp_path, table, message):
    file = io.BytesIO(b"PAR1 and nothing else")
    if table is not None:
        pq.write_table(pa.table(table), file := io.BytesIO())
    for split in ("train", "test"):
        (tmp_path / f"{split}.parquet").write_bytes(file.getvalue())
    with pytest.raises(DataError, match=rf"train\.parquet.*{message}"):
        make(tmp_path)


def test_absent_files_say_how_to_get_them(tmp_path):
    task = Text(data_dir=tmp_path / "imdb", batch_size=1, download=False)
    assert not task.present()
    with pytest.raises(DataError, match=rf"missing, and downloading is off; by hand: download {SOURCE.url}"):
        task.prepare_data()
    with pytest.raises(DataError, match=r"holds no reviews; run scripts/prepare_data\.py data=text"):
        task.split("train")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": "words"}, r"data\.tokens=words: must be characters or bytes"),
        ({"protocol": "mine"}, r"data\.protocol=mine: must be heldout or paper"),
        ({"max_length": 1}, r"data\.max_length=1: must be at least 2"),
    ],
)
def test_impossible_options(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        Text(data_dir=tmp_path, batch_size=1, **options)


def test_config_builds_the_published_task(tmp_path):
    task = instantiate(compose("prepare_data", ["data=text"], tmp_path).data)
    assert (task.spec.input_size, task.max_length, task.min_freq, task.protocol) == (135, 4096, 15, "heldout")
    assert (task.bucket, task.batch_size, task.reviews_per_class) == (True, 50, 12_500)


@pytest.fixture(scope="module")
def imdb(tmp_path_factory) -> Text:
    folder = next((f for f in (REAL_DATA / "imdb", REAL_DATA) if find(f)), None)
    if folder is None:
        pytest.skip("no IMDB reviews in $LONGRANGE_DATA")
    task = Text(data_dir=folder, cache_dir=tmp_path_factory.mktemp("cache"), batch_size=50, bucket=True)
    task.prepare_data()
    return task


def test_real_sizes_and_balance(imdb):
    counts = {name: np.bincount(imdb.split(name).targets).tolist() for name in ("train", "val", "test")}
    assert counts == {"train": [11_250] * 2, "val": [1_250] * 2, "test": [12_500] * 2}
    texts = [{bytes(data.row(i)) for i in range(len(data))} for data in map(imdb.split, ("train", "val"))]
    assert not texts[0] & texts[1]


def test_real_vocabulary_has_one_id_less_than_the_published_width(imdb):
    symbols = imdb.split("train").symbols
    assert 3 + len(symbols) == 134 == N_CHARACTER_IDS - 1
    assert symbols[:12] == " etaoisnrhld"


def test_real_examples_are_their_files(imdb):
    reviews = read(find(imdb.data_dir))["test"]
    data = imdb.split("test")
    for i in (0, 7, 12_499, 12_500, 24_999):
        source = "".join(s if s in data.symbols else "\N{REPLACEMENT CHARACTER}" for s in reviews.texts[i][:4095])
        assert decode(data.row(i), data.symbols) == source
        assert data.targets[i] == reviews.labels[i]


def test_real_batches_hold_little_padding(imdb):
    batches = list(imdb.train_dataloader())
    assert len(batches) == 450
    assert 1 - sum(b.lengths.sum().item() for b in batches) / sum(b.inputs.numel() for b in batches) < 0.04
