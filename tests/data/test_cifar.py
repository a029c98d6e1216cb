"""Image and sCIFAR: read from every published form, split as published, refused where they are neither."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from image_files import CIFAR_FILES, pack_cifar, write_cifar
from PIL import Image
from real_data import REAL_DATA

from longrange.cli import compose
from longrange.data import cifar
from longrange.data.cifar import Cifar
from longrange.data.summary import print_splits
from longrange.errors import ConfigError, DataError
from longrange.models.spec import TaskSpec

SPLITS = ("train", "val", "test")
PER_BATCH = 20
REAL = REAL_DATA / "cifar10"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of batch files, and what they hold; tests only read them."""
    folder = tmp_path_factory.mktemp("cifar") / "cifar-10-batches-py"
    return folder, write_cifar(folder, PER_BATCH)


@pytest.fixture
def task(made, tmp_path):
    """Makes a prepared task of the files, with a cache of its own."""

    def prepared(**options) -> Cifar:
        task = Cifar(data_dir=made[0], cache_dir=tmp_path / "cache", verify=False, batch_size=10, **options)
        task.prepare_data()
        return task

    return prepared


def published(made, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Colour images (n, 32, 32, 3) and labels of a split, by torch's own means."""
    batches = [made[1][name] for name in CIFAR_FILES if (name == "test_batch") == (split == "test")]
    images = np.concatenate([images for images, _ in batches]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    labels = np.concatenate([labels for _, labels in batches])
    if split == "test":
        return images, labels
    train, val = torch.utils.data.random_split(range(len(labels)), [90, 10], torch.Generator().manual_seed(42))
    rows = {"train": train, "val": val}[split].indices
    return images[rows], labels[rows]


@pytest.mark.parametrize(
    ("options", "spec"),
    [
        ({}, TaskSpec("image", "continuous", 1, 10, 1024)),
        ({"tokens": True}, TaskSpec("image", "tokens", 256, 10, 1024)),
        ({"colour": True, "name": "scifar"}, TaskSpec("scifar", "continuous", 3, 10, 1024)),
    ],
)
def test_spec_needs_no_data(tmp_path, options, spec):
    assert Cifar(data_dir=tmp_path / "none", batch_size=1, **options).spec == spec


@pytest.mark.parametrize("split", SPLITS)
def test_gray_images_as_published(task, made, split):
    images, labels = published(made, split)
    batch = task().split(split).__getitems__(range(len(labels)))
    pixels = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in images])
    expected = (torch.from_numpy(pixels).view(-1, 1024, 1) / 255 - 122.6 / 255) / (61.0 / 255)
    torch.testing.assert_close(batch.inputs, expected)
    assert batch.lengths is None
    assert batch.targets.tolist() == labels.tolist()


@pytest.mark.parametrize("split", SPLITS)
def test_colour_images_as_published(task, made, split):
    images, labels = published(made, split)
    batch = task(colour=True).split(split).__getitems__(range(len(labels)))
    mean, std = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.247, 0.243, 0.261])
    expected = (torch.from_numpy(images.copy()).view(-1, 1024, 3) / 255 - mean) / std
    torch.testing.assert_close(batch.inputs, expected)
    assert batch.targets.tolist() == labels.tolist()


def test_tokens_are_gray_values(task, made):
    image = Image.fromarray(published(made, "val")[0][3]).convert("L")
    inputs = task(tokens=True).split("val").__getitems__([3]).inputs
    assert inputs.dtype == torch.int64
    assert inputs.tolist() == [np.asarray(image).ravel().tolist()]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_augmentation_changes_training_images_with_the_epoch(task, num_workers):
    def inputs(epoch, **options):
        loader = task(augment=True, num_workers=num_workers, **options).train_dataloader()
        loader.batch_sampler.sampler.set_epoch(epoch)
        batches = list(loader)
        return torch.cat([b.inputs for b in batches]), torch.cat([b.targets for b in batches])

    first, targets = inputs(0, seed=3)
    assert torch.equal(first, inputs(0, seed=3)[0])
    assert torch.equal(inputs(1, seed=3)[0], inputs(1, seed=3)[0])
    assert not torch.equal(first, inputs(0, seed=4)[0])
    plain = list(task(seed=3).train_dataloader())
    assert torch.equal(torch.cat([b.targets for b in plain]), targets)
    assert not torch.equal(torch.cat([b.inputs for b in plain]), first)


def test_evaluation_is_never_augmented(task):
    plain, augmented = task(), task(augment=True)
    for loader in ("val_dataloader", "test_dataloader"):
        for a, b in zip(getattr(plain, loader)(), getattr(augmented, loader)(), strict=True):
            assert torch.equal(a.inputs, b.inputs)


def test_a_batch_larger_than_the_training_split(made, tmp_path):
    task = Cifar(data_dir=made[0], cache_dir=tmp_path, verify=False, batch_size=91, augment=True)
    task.prepare_data()
    with pytest.raises(ConfigError, match=r"data\.batch_size=91: larger than the training split of image \(90"):
        task.train_dataloader()


def test_the_folder_above_will_do(made, tmp_path):
    task = Cifar(data_dir=made[0].parent, cache_dir=tmp_path, verify=False, batch_size=1)
    assert task.present()
    task.prepare_data()
    assert len(task.split("test")) == PER_BATCH


def test_an_archive_is_unpacked(made, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    pack_cifar(made[0], data / "cifar-10-python.tar.gz")
    task = Cifar(data_dir=data, cache_dir=tmp_path / "cache", verify=False, batch_size=1)
    assert not task.present()
    task.prepare_data()
    assert task.present()
    assert {path.name for path in (data / "cifar-10-batches-py").iterdir()} == set(CIFAR_FILES)
    assert [len(task.split(split)) for split in SPLITS] == [90, 10, PER_BATCH]


def test_an_archive_that_is_not_the_published_one(made, tmp_path):
    pack_cifar(made[0], tmp_path / "cifar-10-python.tar.gz")
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz: not the published file"):
        Cifar(data_dir=tmp_path, batch_size=1).prepare_data()


def test_nothing_there_is_downloaded(made, tmp_path, monkeypatch):
    server = tmp_path / "server"
    server.mkdir()
    pack_cifar(made[0], server / "archive")
    source = replace(cifar.ARCHIVE, url=(server / "archive").as_uri(), checksum=None)
    monkeypatch.setattr(cifar, "ARCHIVE", source)
    task = Cifar(data_dir=tmp_path / "data", verify=False, batch_size=1)
    task.prepare_data()
    assert len(task.split("train")) == 90


def test_downloading_can_be_switched_off(tmp_path):
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz: missing, .*by hand: download https://www\.cs\.tor"):
        Cifar(data_dir=tmp_path / "data", download=False, batch_size=1).prepare_data()


def test_files_are_compared_with_the_published_ones(made, tmp_path):
    task = Cifar(data_dir=made[0], cache_dir=tmp_path, batch_size=1)
    with pytest.raises(DataError, match=r"data_batch_1: differs from the published file .* data\.verify=false"):
        task.prepare_data()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_what_was_not_verified_is_prepared_again_when_it_should_be(task, made, tmp_path):
    task()
    with pytest.raises(DataError, match="differs from the published file"):
        Cifar(data_dir=made[0], cache_dir=tmp_path / "cache", batch_size=1).prepare_data()


def test_preparing_twice_decodes_once(task, monkeypatch):
    prepared = task()
    monkeypatch.setattr("longrange.data.cifar.read_batch", lambda *arguments: pytest.fail("decoded again"))
    prepared.prepare_data()


def test_unprepared_data_says_what_to_do(made, tmp_path):
    with pytest.raises(DataError, match=r"not prepared; run scripts/prepare_data\.py data=scifar"):
        Cifar(data_dir=made[0], cache_dir=tmp_path, colour=True, name="scifar", batch_size=1).split("train")
    with pytest.raises(DataError, match=r"cifar-10-batches-py: no data_batch_1, .*; run scripts/prepare_data\.py data"):
        Cifar(data_dir=tmp_path, batch_size=1).split("train")


def test_colour_has_no_tokens(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.tokens=true: gray values only; set data\.colour=false"):
        Cifar(data_dir=tmp_path, colour=True, tokens=True, batch_size=1)


@pytest.mark.parametrize("colour", [False, True])
def test_preview_shows_images_with_their_classes(task, made, colour):
    images, labels = published(made, "val")
    shown = task(colour=colour, augment=True).preview("val", [4, 0])
    assert [(kind, label) for kind, _, label in shown] == [("image", Cifar.classes[labels[i]]) for i in (4, 0)]
    expected = images[4] if colour else np.asarray(Image.fromarray(images[4]).convert("L"))
    assert np.array_equal(shown[0][1], expected)


def test_summary_of_the_splits(task, capsys):
    print_splits(task(), seconds=0.1)
    assert "1024.0" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "channels"), [("image", 1), ("scifar", 3)])
def test_configs_name_the_tasks(tmp_path, name, channels):
    cfg = compose("train", [f"data={name}", f"paths.data={tmp_path}", "seed=7"])
    task = instantiate(cfg.data)
    assert task.spec == TaskSpec(name, "continuous", channels, 10, 1024)
    assert (task.data_dir, task.seed, task.verify, task.augment) == (tmp_path / "cifar10", 7, True, False)
    assert task.protocol == "heldout"
    assert task.sources[0].checksum == "md5:c58f30108f718f92721af3b95e74349a"


@pytest.mark.skipif(not REAL.is_dir(), reason="needs CIFAR-10 in the data folder")
def test_the_published_images(tmp_path):
    task = Cifar(data_dir=REAL, cache_dir=tmp_path, verify=False, tokens=True, batch_size=1)
    task.prepare_data()
    counts = {split: np.bincount(task.split(split).targets).tolist() for split in SPLITS}
    assert counts["test"] == [1000] * 10
    assert np.add(counts["train"], counts["val"]).tolist() == [5000] * 10
    assert (sum(counts["train"]), sum(counts["val"])) == (45_000, 5_000)
    rows = torch.utils.data.random_split(range(50_000), [45_000, 5_000], torch.Generator().manual_seed(42))[1].indices
    batch = pickle.loads((task._folder / "data_batch_4").read_bytes(), encoding="bytes")
    at = next(at for at, row in enumerate(rows) if 30_000 <= row < 40_000)
    image = batch[b"data"][rows[at] - 30_000].reshape(3, 32, 32).transpose(1, 2, 0)
    inputs, _, targets = task.split("val").__getitems__([at])
    assert inputs.tolist() == [np.asarray(Image.fromarray(image).convert("L")).ravel().tolist()]
    assert targets.tolist() == [batch[b"labels"][rows[at] - 30_000]]
