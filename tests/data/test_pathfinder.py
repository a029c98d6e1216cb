"""The Pathfinder task: drawn where it is absent, read where it is published, refused where it is neither."""

import pickle
import shutil

import numpy as np
import pytest
import torch
from hydra.utils import instantiate

from longrange.cli import compose
from longrange.data import pathfinder as pathfinder_module
from longrange.data.generate import pathfinder_release
from longrange.data.generate.pathfinder import Recipe, draw
from longrange.data.generate.pathfinder_release import write_release
from longrange.data.pathfinder import Pathfinder
from longrange.errors import DataError
from longrange.models.spec import TaskSpec

SPLITS = ("train", "val", "test")
RECIPE = Recipe(32, "hard", 120)
INNER = "lra_release/lra_release"


def task(folder, data_dir="none", **options) -> Pathfinder:
    options = {"recipe": RECIPE, "batch_size": 16} | options
    return Pathfinder(data_dir=folder / data_dir, cache_dir=folder / "cache", **options)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The archive's layout with batches of 10; tests that change it take a copy."""
    root = tmp_path_factory.mktemp("archive")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pathfinder_release, "BATCH", 10)
        write_release(root / INNER, RECIPE, seed=0)
    return root


@pytest.fixture
def own(archive, tmp_path):
    shutil.copytree(archive, tmp_path / "archive")
    return tmp_path / "archive"


def test_spec_needs_no_data(tmp_path):
    assert task(tmp_path).spec == TaskSpec("pathfinder", "continuous", 1, 2, 1024)


def test_absent_images_are_drawn_and_split_as_published(tmp_path):
    drawn, prepared = draw(RECIPE, 0, 0, 120), task(tmp_path)
    assert not prepared.present()
    prepared.prepare_data()
    assert prepared.present()
    generator = torch.Generator().manual_seed(42)
    expected = torch.utils.data.random_split(range(120), [96, 12, 12], generator=generator)
    for name, rows in zip(SPLITS, expected, strict=True):
        split = prepared.split(name)
        assert split.targets.tolist() == drawn.labels[list(rows)].tolist()
        inputs, lengths, targets = split.__getitems__(range(len(split)))
        assert (inputs.shape, inputs.dtype, lengths) == ((len(rows), 1024, 1), torch.float32, None)
        gray = torch.from_numpy(drawn.pixels[list(rows)].reshape(-1, 1024, 1).astype(np.float32) / 255)
        torch.testing.assert_close(inputs, 2 * gray - 1)
        assert targets.tolist() == split.targets.tolist()


def test_gray_levels_without_centring(tmp_path):
    prepared = task(tmp_path, center=False)
    prepared.prepare_data()
    inputs = prepared.split("val").__getitems__([0, 1]).inputs
    assert (inputs.min().item(), inputs.max().item()) == (0.0, 1.0)


@pytest.mark.parametrize("place", ["", "lra_release", INNER, f"{INNER}/pathfinder32"])
def test_published_images_are_found_wherever_one_points(archive, tmp_path, place):
    prepared, drawn = (
        Pathfinder(data_dir=archive / place, cache_dir=tmp_path, recipe=RECIPE, batch_size=4),
        task(tmp_path),
    )
    prepared.prepare_data()
    drawn.prepare_data()
    for name in SPLITS:
        assert prepared.present()
        np.testing.assert_array_equal(prepared.split(name).pixels, drawn.split(name).pixels)
        np.testing.assert_array_equal(prepared.split(name).targets, drawn.split(name).targets)


def test_of_two_copies_the_inner_one_is_read(own, tmp_path):
    write_release(own / "lra_release", RECIPE, seed=9)
    prepared, drawn = task(tmp_path, "archive"), task(tmp_path)
    prepared.prepare_data()
    drawn.prepare_data()
    np.testing.assert_array_equal(prepared.split("train").pixels, drawn.split("train").pixels)


def test_batches_are_taken_by_number_not_by_name(own, tmp_path):
    """Batch 10 comes after 9, not after 1: the split depends on it."""
    prepared = task(tmp_path, "archive")
    prepared.prepare_data()
    np.testing.assert_array_equal(prepared.split("train").pixels[-1], draw(RECIPE, 0, 119, 120).pixels.ravel())


def test_missing_and_damaged_images_are_counted_and_named(own, tmp_path):
    images = own / INNER / "pathfinder32/curv_contour_length_14/imgs"
    (images / "0/sample_3.png").unlink()
    (images / "1/sample_0.png").write_bytes(b"")
    whole = (images / "2/sample_5.png").read_bytes()
    (images / "2/sample_5.png").write_bytes(whole[: len(whole) // 2])
    shutil.copy(
        next(write_release(tmp_path, Recipe(64, "easy", 10), 0).glob("imgs/0/*.png")), images / "3/sample_1.png"
    )
    with pytest.raises(DataError) as error:
        task(tmp_path, "archive").prepare_data()
    message = str(error.value)
    assert message.startswith("4 of 120 images missing or damaged: ")
    for fault in ("0/sample_3.png (missing)", "1/sample_0.png (empty)", "2/sample_5.png (damaged)"):
        assert fault in message
    assert not list((tmp_path / "cache").glob("*/pixels.npy"))


def test_an_image_of_another_size_is_named(own, tmp_path):
    images = own / INNER / "pathfinder32/curv_contour_length_14/imgs"
    shutil.copy(
        next(write_release(tmp_path, Recipe(64, "easy", 10), 0).glob("imgs/0/*.png")), images / "3/sample_1.png"
    )
    with pytest.raises(DataError, match=r"1 of 120 images .*3/sample_1\.png \(64 x 64 pixels\); unpack the archive"):
        task(tmp_path, "archive").prepare_data()


def test_the_archives_empty_image_is_left_out_with_a_warning(tmp_path, caplog):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pathfinder_release, "BATCH", 200)
        level = write_release(tmp_path / "archive", Recipe(32, "easy", 200), seed=0)
    (level / "imgs/0/sample_172.png").write_bytes(b"")
    prepared = task(tmp_path, "archive", recipe=Recipe(32, "easy"))
    prepared.prepare_data()
    assert [len(prepared.split(name)) for name in SPLITS] == [161, 19, 19]
    assert caplog.messages == [f"{level}/imgs/0/sample_172.png: empty in the published archive; left out"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"imgs/0 sample_0.png 0 2 1.0\n", r"0\.npy, line 1: not a row of metadata with a label 0 or 1"),
        (b"imgs/0 ../../../../1/imgs/0/sample_0.png 0 1\n", r"0\.npy, line 1: names no image of the archive"),
        (b"imgs/0 /etc/passwd 0 1\n", r"0\.npy, line 1: names no image of the archive"),
        (b"\x93NUMPY\x01\x00\xff", r"0\.npy: not text"),
    ],
)
def test_faulty_metadata_are_named(own, tmp_path, content, message):
    (own / INNER / "pathfinder32/curv_contour_length_14/metadata/0.npy").write_bytes(content)
    with pytest.raises(DataError, match=message):
        task(tmp_path, "archive").prepare_data()


def test_a_folder_with_other_contents_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    with pytest.raises(DataError, match=r"mine: no pathfinder32/curv_contour_length_14/metadata; data\.data_dir"):
        task(tmp_path, "mine").prepare_data()
    assert not task(tmp_path, "mine").present()
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_interruption_leaves_no_cache_and_the_next_start_is_clean(tmp_path, monkeypatch):
    def interrupted(recipe, seed):
        for number, block in enumerate(draw_all(recipe, seed)):
            if number == 1:
                raise KeyboardInterrupt
            yield block

    draw_all = pathfinder_module.draw_all
    monkeypatch.setattr(pathfinder_module, "draw_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        task(tmp_path).prepare_data()
    assert not list(tmp_path.rglob("*.npy"))
    monkeypatch.undo()
    task(tmp_path).prepare_data()
    assert len(task(tmp_path).split("train")) == 96


def test_preparing_twice_draws_once_and_damage_is_mended(tmp_path, monkeypatch, caplog):
    task(tmp_path).prepare_data()
    pixels = task(tmp_path).split("train").path
    whole = pixels.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(pathfinder_module, "draw_all", lambda *arguments: pytest.fail("drawn again"))
        task(tmp_path).prepare_data()
    pixels.write_bytes(whole[:-100])
    task(tmp_path).prepare_data()
    assert pixels.read_bytes() == whole
    assert "making the prepared data again" in caplog.text


def test_another_seed_or_level_has_a_cache_of_its_own(tmp_path):
    for options in ({}, {"generator_seed": 1}, {"recipe": Recipe(32, "easy", 120)}):
        task(tmp_path, **options).prepare_data()
    assert len(list((tmp_path / "cache").glob("pathfinder-*/pixels.npy"))) == 3


def test_unprepared_data_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"not prepared; run scripts/prepare_data\.py data=pathfinder"):
        task(tmp_path).split("train")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_loaders_yield_every_example_once(tmp_path, num_workers):
    prepared = task(tmp_path, num_workers=num_workers, eval_batch_size=5)
    prepared.prepare_data()
    targets = torch.cat([batch.targets for batch in prepared.val_dataloader()])
    assert targets.tolist() == prepared.split("val").targets.tolist()
    assert len(pickle.dumps(prepared.split("train"))) < 500


def test_preview_shows_images_and_labels(tmp_path):
    prepared = task(tmp_path)
    prepared.prepare_data()
    split = prepared.split("train")
    for (kind, image, label), i in zip(prepared.preview("train", [0, 5]), [0, 5], strict=True):
        assert (kind, image.shape, label) == ("image", (32, 32), ("apart", "joined")[split.targets[i]])
        np.testing.assert_array_equal(image.ravel(), split.pixels[split.rows[i]])


@pytest.mark.parametrize(
    ("name", "recipe"),
    {
        "pathfinder": Recipe(),
        "pathx": Recipe(128),
        "pathfinder64": Recipe(64),
        "pathfinder256": Recipe(256),
        "pathfinder_easy": Recipe(32, "easy"),
    }.items(),
)
def test_configs_are_the_published_tasks(tmp_path, name, recipe):
    configured = instantiate(compose("train", [f"data={name}"], tmp_path).data)
    assert (configured.name, configured.recipe, configured.center) == (name, recipe, True)
    assert configured.spec.max_length == recipe.resolution**2
