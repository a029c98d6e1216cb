"""sMNIST and psMNIST: read packed or not, split and ordered as published."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from image_files import write_mnist
from real_data import REAL_DATA

from longrange.cli import compose
from longrange.data import mnist
from longrange.data.mnist import FILES, Mnist, bit_reversal
from longrange.errors import ConfigError, DataError
from longrange.models.spec import TaskSpec

SPLITS = ("train", "val", "test")
REAL = REAL_DATA / "mnist"


@pytest.fixture(scope="module", params=[True, False], ids=["packed", "unpacked"])
def made(request, tmp_path_factory):
    """The folder of the files, and what they hold; tests only read them."""
    folder = tmp_path_factory.mktemp("mnist") / "raw"
    return folder, write_mnist(folder, packed=request.param)


@pytest.fixture
def task(made, tmp_path):
    """Makes a prepared task of the files, with a cache of its own."""

    def prepared(**options) -> Mnist:
        task = Mnist(data_dir=made[0], cache_dir=tmp_path / "cache", verify=False, batch_size=10, **options)
        task.prepare_data()
        return task

    return prepared


def published(made, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 784) and labels of a split, by torch's own means."""
    images, labels = (made[1][f"{'t10k' if split == 'test' else 'train'}-{kind}"] for kind in ("images", "labels"))
    rows = slice(None)
    if split != "test":
        train, val = torch.utils.data.random_split(range(50), [45, 5], torch.Generator().manual_seed(42))
        rows = {"train": train, "val": val}[split].indices
    return images[rows].reshape(-1, 784), labels[rows]


def test_spec_needs_no_data(tmp_path):
    assert Mnist(data_dir=tmp_path / "none", batch_size=1).spec == TaskSpec("smnist", "continuous", 1, 10, 784)


@pytest.mark.parametrize("split", SPLITS)
def test_images_as_published(task, made, split):
    images, labels = published(made, split)
    inputs, lengths, targets = task().split(split).__getitems__(range(len(labels)))
    assert torch.equal(inputs, torch.from_numpy(images).view(-1, 784, 1) / 255)
    assert lengths is None
    assert targets.tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("options", "order"),
    [
        ({"permutation": "bit_reversal"}, bit_reversal(784)),
        ({"permutation": "random"}, np.random.RandomState(92916).permutation(784)),
        ({"permutation": "random", "permutation_seed": 1}, np.random.RandomState(1).permutation(784)),
    ],
)
def test_permuted_images(task, made, options, order):
    inputs = task(**options).split("val").__getitems__([2]).inputs
    assert torch.equal(inputs[0, :, 0], torch.from_numpy(published(made, "val")[0][2][order]) / 255)


@pytest.mark.parametrize("n", [1, 2, 8, 13, 784])
def test_bit_reversal_by_the_letters_of_the_numbers(n):
    width = (n - 1).bit_length()
    numbers = [int(format(i, f"0{width}b")[::-1], 2) if width else 0 for i in range(1 << width)]
    assert bit_reversal(n).tolist() == [number for number in numbers if number < n]


def test_bit_reversal_of_mnist():
    order = bit_reversal(784)
    assert order[:8].tolist() == [0, 512, 256, 768, 128, 640, 384, 64]
    assert np.array_equal(np.sort(order), np.arange(784))


def test_no_such_permutation(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.permutation=hilbert: must be null, bit_reversal or random"):
        Mnist(data_dir=tmp_path, permutation="hilbert", batch_size=1)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_loaders(task, made, num_workers):
    batches = list(task(permutation="random", num_workers=num_workers).test_dataloader())
    assert [tuple(batch.inputs.shape) for batch in batches] == [(10, 784, 1)] * 2
    assert torch.cat([batch.targets for batch in batches]).tolist() == published(made, "test")[1].tolist()


def test_only_missing_files_are_downloaded(made, tmp_path, monkeypatch):
    server, data = tmp_path / "server", tmp_path / "data"
    write_mnist(server)
    data.mkdir()
    write_mnist(tmp_path / "mine", packed=False)
    (tmp_path / "mine" / "train-images-idx3-ubyte").rename(data / "train-images-idx3-ubyte")
    monkeypatch.setattr(mnist, "_MIRROR", server.as_uri())
    monkeypatch.setattr(mnist, "FILES", {name: (size, md5_of(server / name)) for name, (size, _) in FILES.items()})
    task = Mnist(data_dir=data, cache_dir=tmp_path / "cache", verify=False, batch_size=1)
    assert not task.present()
    task.prepare_data()
    assert task.present()
    assert not (data / "train-images-idx3-ubyte.gz").exists()
    assert [len(task.split(split)) for split in SPLITS] == [45, 5, 20]


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_downloading_can_be_switched_off(tmp_path):
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: missing, .*by hand: download https://ossci"):
        Mnist(data_dir=tmp_path / "data", download=False, batch_size=1).prepare_data()


def test_files_are_compared_with_the_published_ones(made, tmp_path):
    task = Mnist(data_dir=made[0], cache_dir=tmp_path, batch_size=1)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\S*: its content differs .* data\.verify=false"):
        task.prepare_data()


def test_images_without_labels(tmp_path):
    write_mnist(tmp_path / "data")
    write_mnist(tmp_path / "fewer", train=30)
    (tmp_path / "fewer" / "train-labels-idx1-ubyte.gz").replace(tmp_path / "data" / "train-labels-idx1-ubyte.gz")
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: 50 images but 30 labels; download both again"):
        Mnist(data_dir=tmp_path / "data", verify=False, batch_size=1).prepare_data()


def test_unprepared_data_says_what_to_do(made, tmp_path):
    with pytest.raises(DataError, match=r"not prepared; run scripts/prepare_data\.py data=psmnist"):
        Mnist(data_dir=made[0], cache_dir=tmp_path, name="psmnist", batch_size=1).split("train")
    with pytest.raises(
        DataError, match=r"no train-images-idx3-ubyte\.gz, .*; run scripts/prepare_data\.py data=smnist"
    ):
        Mnist(data_dir=tmp_path, batch_size=1).split("train")


def test_preview_shows_digits_not_permuted(task, made):
    images, labels = published(made, "train")
    shown = task(permutation="bit_reversal").preview("train", [3, 9])
    assert [(kind, label) for kind, _, label in shown] == [("image", str(labels[i])) for i in (3, 9)]
    assert np.array_equal(shown[1][1], images[9].reshape(28, 28))


@pytest.mark.parametrize(("name", "order"), [("smnist", None), ("psmnist", bit_reversal(784))])
def test_configs_name_the_tasks(tmp_path, name, order):
    task = instantiate(compose("train", [f"data={name}", f"paths.data={tmp_path}", "seed=7"]).data)
    assert task.spec == TaskSpec(name, "continuous", 1, 10, 784)
    assert (task.data_dir, task.seed, task.verify, task.protocol) == (tmp_path / "mnist", 7, True, "heldout")
    assert np.array_equal(task.order, order) if order is not None else task.order is None


@pytest.mark.skipif(not REAL.is_dir(), reason="needs MNIST in the data folder")
def test_the_published_digits(tmp_path):
    task = Mnist(data_dir=REAL, cache_dir=tmp_path, batch_size=1)
    task.prepare_data()
    splits = {name: task.split(name) for name in SPLITS}
    assert [len(split) for split in splits.values()] == [54_000, 6_000, 10_000]
    assert np.bincount(splits["test"].targets).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    both = np.bincount(np.concatenate([splits["train"].targets, splits["val"].targets])).tolist()
    assert both == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    raw = task._file("t10k-images-idx3-ubyte.gz").read_bytes()
    sixth = bytearray((gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)[16 + 784 * 5 :][:784])
    expected = torch.frombuffer(sixth, dtype=torch.uint8) / 255
    assert torch.equal(splits["test"].__getitems__([5]).inputs[0, :, 0], expected)
