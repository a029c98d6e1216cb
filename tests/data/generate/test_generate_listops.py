"""The generator of ListOps: bytes that depend on recipe and seed alone, distinct expressions, nothing half-made."""

import hashlib
import json
import shutil
from collections import namedtuple

import pytest

from longrange.data.generate import listops
from longrange.data.generate.listops import Recipe, draw_block, generate, tsv_file
from longrange.errors import ConfigError, DataError

SPLITS = ("train", "val", "test")
TINY_SPACE = {"min_length": 1, "max_length": 4, "train": 200, "val": 100, "test": 100}  # 10 digits, 400 pairs


def sources(folder, split: str) -> list[str]:
    rows = tsv_file(folder, split).read_text().splitlines()
    assert rows[0] == "Source\tTarget"
    return [row.split("\t")[0] for row in rows[1:]]


def bytes_of(folder) -> list[bytes]:
    return [tsv_file(folder, split).read_bytes() for split in SPLITS]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_bytes_do_not_depend_on_the_number_of_workers(tmp_path, made, recipe, workers):
    generate(tmp_path / "again", recipe, seed=0, workers=workers)
    assert bytes_of(tmp_path / "again") == bytes_of(made)


def test_bytes_of_a_seed_never_change(made):
    digest = hashlib.sha256(b"".join(bytes_of(made))).hexdigest()
    assert digest == "7f9d2cb5e454694c831e7eafc862544cb7fa30f27d02299936535a3a00ac3212"


def test_another_seed_is_another_data_set(tmp_path, made, recipe):
    generate(tmp_path / "other", recipe, seed=1)
    assert not set(sources(tmp_path / "other", "test")) & set(sources(made, "test"))


def test_sizes_and_distinct_expressions(made, recipe):
    splits = {split: sources(made, split) for split in SPLITS}
    assert {split: len(rows) for split, rows in splits.items()} == recipe.sizes
    assert len(set().union(*splits.values())) == sum(recipe.sizes.values())


def test_recipe_is_written_beside_the_files(made, recipe):
    assert json.loads((made / "recipe.json").read_text()) == {**vars(recipe), "seed": 0}


def test_splits_are_a_random_partition(tmp_path):
    """Likely expressions, here the ten digits, must not crowd the first split, though they are drawn first."""
    digits = 0
    for seed in range(20):
        generate(tmp_path / str(seed), Recipe(**TINY_SPACE), seed)
        digits += sum(len(source) == 1 for source in sources(tmp_path / str(seed), "test"))
    assert 30 < digits < 70  # 50 expected, standard deviation 5; 0 if the order of drawing decided


def test_blocks_are_different_and_repeatable(recipe):
    first, again, second = (draw_block(recipe, 0, block)[0].tobytes() for block in (0, 0, 1))
    assert first == again
    assert first != second


def test_too_few_distinct_expressions(tmp_path):
    with pytest.raises(ConfigError, match=r"only 410 of 420 distinct expressions of 1 to 4 tokens"):
        generate(tmp_path / "listops", Recipe(**TINY_SPACE | {"train": 220}), seed=0)
    assert not (tmp_path / "listops").exists()


def test_interruption_leaves_nothing(tmp_path, recipe, monkeypatch):
    written = []

    def interrupted(*arguments):
        written.append(arguments)
        if len(written) == 2:
            raise KeyboardInterrupt
        return listops_write_rows(*arguments)

    listops_write_rows = listops.write_rows
    monkeypatch.setattr(listops, "write_rows", interrupted)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "listops", recipe, seed=0)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_noticed_before_writing(tmp_path, recipe, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(free=100))
    with pytest.raises(DataError, match=r"needs \d+ kB, 100 B are free"):
        generate(tmp_path / "listops", recipe, seed=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_length", 0),
        ("max_length", 500),
        ("max_depth", 0),
        ("max_args", 1),
        ("p_operator", -0.1),
        ("p_operator", 1.1),
        ("train", 0),
        ("test", -1),
    ],
)
def test_impossible_recipes(field, value):
    with pytest.raises(ConfigError, match=rf"data\.recipe\.{field}={value}: must be at"):
        Recipe(**{field: value})


def test_negative_seed(tmp_path, recipe):
    with pytest.raises(ConfigError, match=r"data\.generator_seed=-1"):
        generate(tmp_path / "listops", recipe, seed=-1)


def test_defaults_are_the_published_task():
    grammar = {"min_length": 501, "max_length": 1999, "max_depth": 10, "max_args": 10, "p_operator": 0.25}
    assert vars(Recipe()) == grammar | {"train": 96_000, "val": 2_000, "test": 2_000}
