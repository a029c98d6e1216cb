"""The ListOps task: made where it is absent, read where it is published, refused where it is neither."""

import hashlib
import shutil

import numpy as np
import pytest
import torch

from longrange.data.checksums import LIST
from longrange.data.generate.listops import Recipe, tsv_file
from longrange.data.listops import ListOps
from longrange.data.listops_text import read_tsv
from longrange.errors import ConfigError, DataError
from longrange.models.spec import TaskSpec

SPLITS = ("train", "val", "test")


@pytest.fixture
def task(made, tmp_path, recipe) -> ListOps:
    """The session's files with a cache of its own."""
    task = ListOps(data_dir=made, cache_dir=tmp_path / "cache", recipe=recipe, batch_size=16, eval_batch_size=32)
    task.prepare_data()
    return task


def test_spec_needs_no_data(tmp_path):
    assert ListOps(data_dir=tmp_path / "none", batch_size=1).spec == TaskSpec(
        "listops", "tokens", input_size=18, output_size=10, max_length=2048, variable_length=True
    )


def test_absent_files_are_generated(tmp_path, made, recipe):
    task = ListOps(data_dir=tmp_path / "data", recipe=recipe, batch_size=16)
    task.prepare_data()
    assert [hashlib.sha256(tsv_file(tmp_path / "data", s).read_bytes()).digest() for s in SPLITS] == [
        hashlib.sha256(tsv_file(made, s).read_bytes()).digest() for s in SPLITS
    ]
    assert {name: len(task.split(name)) for name in SPLITS} == recipe.sizes


def test_an_empty_folder_is_filled(tmp_path, recipe):
    (tmp_path / "data").mkdir()
    ListOps(data_dir=tmp_path / "data", recipe=recipe, batch_size=16).prepare_data()
    assert tsv_file(tmp_path / "data", "val").is_file()


def test_published_files_are_read_as_they_are(tmp_path, official):
    for split in SPLITS:
        shutil.copy(official, tsv_file(tmp_path, split))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    task = ListOps(data_dir=tmp_path, cache_dir=tmp_path.with_name("elsewhere"), batch_size=16, generator_seed=5)
    task.prepare_data()
    assert len(task.split("train")) == 200
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_splits_hold_what_the_files_say(task, made):
    for name in SPLITS:
        values, lengths, targets = read_tsv(tsv_file(made, name), 2048)
        split = task.split(name)
        np.testing.assert_array_equal(split.values, values)
        np.testing.assert_array_equal(split.lengths, lengths)
        np.testing.assert_array_equal(split.targets, targets)


def test_preparing_twice_encodes_once(task, monkeypatch):
    monkeypatch.setattr("longrange.data.listops.read_tsv", lambda *arguments: pytest.fail("encoded again"))
    task.prepare_data()


def test_a_changed_file_is_encoded_again(tmp_path, made, recipe):
    shutil.copytree(made, tmp_path / "data")
    task = ListOps(data_dir=tmp_path / "data", recipe=recipe, batch_size=16)
    task.prepare_data()
    file = tsv_file(tmp_path / "data", "test")
    (tmp_path / "data" / LIST).unlink()
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:11]))
    task.prepare_data()
    assert len(task.split("test")) == 10


def test_max_length_cuts_and_has_a_cache_of_its_own(task, made, tmp_path, recipe):
    cut = ListOps(data_dir=made, cache_dir=tmp_path / "cache", recipe=recipe, batch_size=16, max_length=12)
    cut.prepare_data()
    assert cut.spec.max_length == 12
    assert cut.split("train").lengths.max() == 12
    assert task.split("train").lengths.max() > 12


@pytest.mark.parametrize("num_workers", [0, 1])
def test_loaders_yield_padded_batches(made, tmp_path, recipe, num_workers):
    task = ListOps(data_dir=made, cache_dir=tmp_path, recipe=recipe, batch_size=16, num_workers=num_workers)
    task.prepare_data()
    split = task.split("val")
    batches = list(task.val_dataloader())
    assert [len(batch.targets) for batch in batches] == [16, 16, 8]
    for batch in batches:
        assert batch.inputs.shape == (len(batch.targets), batch.lengths.max())
        padding = torch.arange(batch.inputs.shape[1]) >= batch.lengths[:, None]
        assert (batch.inputs[padding] == 0).all()
        assert (batch.inputs[~padding] >= 2).all()
    assert torch.cat([batch.targets for batch in batches]).tolist() == split.targets.tolist()


def test_unprepared_data_says_what_to_do(made, tmp_path, recipe):
    task = ListOps(data_dir=made, cache_dir=tmp_path, recipe=recipe, batch_size=16, name="listops_short")
    with pytest.raises(DataError, match=r"not prepared; run scripts/prepare_data\.py data=listops_short"):
        task.split("train")


def test_a_folder_with_other_contents_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(DataError, match=r"no basic_train\.tsv, basic_val\.tsv, basic_test\.tsv; data\.data_dir must"):
        ListOps(data_dir=tmp_path, batch_size=16).prepare_data()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_missing_file_is_named(tmp_path, made, recipe):
    shutil.copytree(made, tmp_path / "data")
    tsv_file(tmp_path / "data", "val").unlink()
    with pytest.raises(DataError, match=r"data: no basic_val\.tsv; "):
        ListOps(data_dir=tmp_path / "data", recipe=recipe, batch_size=16).prepare_data()


def test_a_faulty_row_names_file_and_line(tmp_path, made, recipe):
    shutil.copytree(made, tmp_path / "data")
    (tmp_path / "data" / LIST).unlink()
    with tsv_file(tmp_path / "data", "test").open("a") as file:
        file.write("( ( [MAX 3 ) ] )\t10\n")
    with pytest.raises(DataError, match=r"basic_test\.tsv, line 52: value '10' is not an integer from 0 to 9"):
        ListOps(data_dir=tmp_path / "data", recipe=recipe, batch_size=16).prepare_data()


def test_generated_files_that_changed_are_not_encoded(tmp_path, made, recipe):
    shutil.copytree(made, tmp_path / "data")
    file = tsv_file(tmp_path / "data", "val")
    file.write_bytes(file.read_bytes().replace(b"\t3\r\n", b"\t7\r\n", 1))
    with pytest.raises(
        DataError, match=r"basic_val\.tsv: has changed since .*; remove .*data to have it generated again"
    ):
        ListOps(data_dir=tmp_path / "data", recipe=recipe, batch_size=16).prepare_data()


@pytest.mark.parametrize("content", ["", "[", "3", "[" * 10_000, '{"seed": 0', "null"])
def test_a_damaged_recipe_is_one_line(tmp_path, made, recipe, content):
    shutil.copytree(made, tmp_path / "data")
    (tmp_path / "data/recipe.json").write_text(content)
    with pytest.raises(DataError, match=r"recipe\.json: damaged \(\w+\); remove"):
        ListOps(data_dir=tmp_path / "data", recipe=recipe, batch_size=16).prepare_data()


def test_files_of_another_recipe_are_not_taken_for_these(made, recipe, tmp_path):
    other = Recipe(**vars(recipe) | {"train": 299})
    task = ListOps(data_dir=made, cache_dir=tmp_path, recipe=other, generator_seed=3, batch_size=16)
    with pytest.raises(
        DataError,
        match=r"was generated with data.recipe.train=300, not 299 and data.generator_seed=0, not 3; remove it or give",
    ):
        task.prepare_data()


def test_max_length_leaves_room_for_a_token(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.max_length=1: must be at least 2"):
        ListOps(data_dir=tmp_path, batch_size=16, max_length=1)
