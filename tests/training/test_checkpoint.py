"""Checkpoints that are read, and those that are refused in one line."""

import shutil

import pytest
import torch
from toy_task import toy_config

from longrange.errors import CheckpointError
from longrange.training import train
from longrange.training.checkpoint import adopt_best, load, resolve


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of two epochs."""
    return train(toy_config(tmp_path_factory.mktemp("run")))


def refused(tmp_path, resume, *overrides):
    """The message with which a training refuses to resume."""
    with pytest.raises(CheckpointError) as error:
        train(toy_config(tmp_path, f"resume={resume}", *overrides))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_checkpoint_is_tensors_and_plain_containers(run):
    checkpoint = torch.load(run.best_checkpoint, weights_only=True)
    assert checkpoint["config"]["model"]["d_model"] == 8
    assert checkpoint["config"]["data"]["batch_size"] == 8
    assert checkpoint["epoch"] == run.best_epoch


def test_resolve(tmp_path):
    assert resolve(None, tmp_path) is None
    (tmp_path / "last.ckpt").touch()
    assert resolve("last", tmp_path) == tmp_path / "last.ckpt"
    assert resolve(str(tmp_path / "last.ckpt"), tmp_path / "elsewhere") == tmp_path / "last.ckpt"


def test_no_last_checkpoint(tmp_path):
    assert "this run has none yet" in refused(tmp_path, "last")


def test_missing(tmp_path):
    assert refused(tmp_path, tmp_path / "no.ckpt").endswith(f"there is no file {tmp_path}/no.ckpt")


@pytest.mark.parametrize("share", [0.0001, 0.5, 0.999])
def test_truncated(tmp_path, run, share):
    whole = run.best_checkpoint.read_bytes()
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes(whole[: max(2, int(len(whole) * share))])
    assert refused(tmp_path, cut) == f"{cut}: damaged or truncated; use an earlier checkpoint"


@pytest.mark.parametrize("content", [b"", b"epoch,loss\n0,1.0\n"])
def test_not_a_checkpoint(tmp_path, content):
    (tmp_path / "metrics.ckpt").write_bytes(content)
    assert refused(tmp_path, tmp_path / "metrics.ckpt") == f"{tmp_path}/metrics.ckpt: not a checkpoint"


@pytest.mark.parametrize("content", [{"weights": torch.zeros(2)}, [1, 2]])
def test_a_torch_file_of_something_else(tmp_path, content):
    torch.save(content, tmp_path / "other.ckpt")
    assert "not a checkpoint of a longrange training" in refused(tmp_path, tmp_path / "other.ckpt")


def test_another_width_names_the_first_tensor(tmp_path, run):
    message = refused(tmp_path, run.best_checkpoint, "model.d_model=6")
    assert "another model (S5, n_layers=2, d_model=8, on ToyTask)" in message
    assert "encoder.map.table is (3, 8) in the checkpoint and (3, 6) in this model" in message


@pytest.mark.parametrize(
    ("layers", "where"),
    [(3, "is missing in the checkpoint and (8,) in this model"), (1, "is (8,) in the checkpoint and missing in")],
)
def test_another_depth_names_the_first_tensor(tmp_path, run, layers, where):
    message = refused(tmp_path, run.best_checkpoint, f"model.n_layers={layers}")
    assert f"blocks.{min(layers, 2)}.norm.weight {where}" in message


def test_continuing_elsewhere_needs_the_best_epoch(tmp_path, run):
    alone = tmp_path / "last.ckpt"
    alone.write_bytes((run.run_dir / "checkpoints" / "last.ckpt").read_bytes())
    with pytest.raises(CheckpointError, match=r"best\.ckpt, must lie beside it"):
        adopt_best(alone, load(alone), tmp_path / "new")


def test_the_best_epoch_beside_a_checkpoint_must_be_the_one_it_means(tmp_path, run):
    source = tmp_path / "copied" / "previous.ckpt"
    shutil.copytree(run.run_dir / "checkpoints", source.parent)
    earlier = load(source)
    earlier["callbacks"]["BestAndLast"]["best_epoch"] = run.best_epoch - 1
    torch.save(earlier, source)
    with pytest.raises(
        CheckpointError, match=rf"best\.ckpt: of epoch {run.best_epoch + 1}, .* has epoch {run.best_epoch}"
    ):
        adopt_best(source, load(source), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_load_missing(tmp_path):
    with pytest.raises(CheckpointError, match="there is no such checkpoint"):
        load(tmp_path / "no.ckpt")
