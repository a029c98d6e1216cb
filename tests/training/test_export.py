"""The model as a file for others: the same to the bit, whole or refused, and no code in it."""

import json
import os
import pickle

import pytest
import torch
from omegaconf import OmegaConf
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from toy_task import toy_config

from longrange.cli import compose
from longrange.errors import CheckpointError
from longrange.layers import S5
from longrange.training import load_model, train
from longrange.training.build import build
from longrange.training.export import NAME, _digest, export

LAYERS = {
    "s5": ["model=s5", "model.layer.n_blocks=2"],
    "s4": ["model=s4", "model.layer.n_ssm=2"],
    "s4d": ["model=s4d"],
    "lssl": ["model=lssl"],
    "lssl-fixed": ["model=lssl", "model.layer.trainable=false"],
}
SIZES = ["model.d_model=8", "model.n_layers=2", "model.layer.d_state=8"]


class Foreign(S5):
    """A layer of somebody else's package."""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The checkpoint of a training, its configuration and the exported file."""
    folder = tmp_path_factory.mktemp("run")
    cfg = toy_config(folder, "epochs=1")
    cfg.name.task = "toy"
    outcome = train(cfg)
    return outcome.best_checkpoint, cfg, export(outcome.best_checkpoint, cfg, "3f2a-dirty", folder / NAME)


@pytest.fixture
def copy(written, tmp_path):
    """Rewrites the file with other words, its checksum made anew."""

    def rewritten(**words):
        tensors, known = load_file(written[2]), metadata(written[2])
        del known["sha256"]
        known |= words
        save_file(tensors, tmp_path / "copy.safetensors", {**known, "sha256": _digest(tensors, known)})
        return tmp_path / "copy.safetensors"

    return rewritten


def metadata(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def batch():
    draw = torch.Generator().manual_seed(0)
    return torch.randint(3, (4, 12), generator=draw), torch.tensor([12, 7, 1, 9])


def test_the_file_says_what_it_is(written):
    words = metadata(written[2])
    assert {key: words[key] for key in ("task", "model", "commit")} == {
        "task": "toy",
        "model": "s5",
        "commit": "3f2a-dirty",
    }
    assert json.loads(words["config"]) == OmegaConf.to_container(written[1].model, resolve=True)
    assert list(written[2].parent.glob(f".{NAME}*")) == []


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_computes_the_same_to_the_bit(layer, tmp_path):
    """With weights that no initialisation draws."""
    cfg = toy_config(tmp_path)
    cfg.model = compose("train", [*LAYERS[layer], *SIZES]).model
    model = build(cfg.model, spec=build(cfg.data).spec).eval()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.mul_(1.01)
        expected = model(*batch())
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"state_dict": state, "config": {}, "loops": {}}, tmp_path / "best.ckpt")
    loaded = load_model(export(tmp_path / "best.ckpt", cfg, "", tmp_path / NAME))
    assert not loaded.training
    with torch.no_grad():
        assert torch.equal(loaded(*batch()), expected)
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_loading_unpickles_nothing(written, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("unpickled")

    for module, name in ((torch, "load"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, refuse)
    load_model(written[2])
    with pytest.raises(AssertionError, match="unpickled"):
        torch.load(written[0], weights_only=True)


@pytest.mark.parametrize("damage", ["truncated", "longer", "empty", "text", "flipped weight", "flipped word"])
def test_damage_is_one_line(written, tmp_path, damage):
    content = bytearray(written[2].read_bytes())
    if damage == "flipped word":
        content = content.replace(b"trunc_standard_normal", b"trunc_standard_normaL")
    changed = {
        "truncated": content[:-5],
        "longer": content + b"\0",
        "empty": b"",
        "text": b"These are no weights." * 9,
        "flipped weight": content[:-3] + bytes([content[-3] ^ 1]) + content[-2:],
        "flipped word": content,
    }[damage]
    (tmp_path / NAME).write_bytes(changed)
    with pytest.raises(CheckpointError, match=r"damaged") as refused:
        load_model(tmp_path / NAME)
    assert str(refused.value).startswith(f"{tmp_path / NAME}: ")
    assert "\n" not in str(refused.value)


def test_every_single_damaged_byte_is_noticed(written, tmp_path):
    content, draw = written[2].read_bytes(), torch.Generator().manual_seed(0)
    header = 8 + int.from_bytes(content[:8], "little")
    places = [
        *torch.randint(8, header, (60,), generator=draw),
        *torch.randint(header, len(content), (20,), generator=draw),
    ]
    for place in map(int, places):
        (tmp_path / NAME).write_bytes(content[:place] + bytes([content[place] ^ 0x15]) + content[place + 1 :])
        with pytest.raises(CheckpointError):
            load_model(tmp_path / NAME)


def test_files_of_others_are_one_line(tmp_path, written):
    with pytest.raises(CheckpointError, match="there is no such file"):
        load_model(tmp_path / "none.safetensors")
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="a safetensors file, but not of a longrange training"):
        load_model(tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="damaged, truncated, or no safetensors file"):
        load_model(written[0])


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "longrange.models.Nothing",
        "longrange.layers.s5.torch.hub.load",
        "longrange.layers.s5.S5Recurrence",
        "longrange.layers.s5.nn.Linear",
        "longrange.models_of_mine.Model",
    ],
)
def test_what_is_no_trusted_module_is_not_called(written, copy, target):
    config = json.loads(metadata(written[2])["config"])
    config["layer"] |= {"_target_": target}
    with pytest.raises(CheckpointError, match=f"its model is made of {target}, which is no module of"):
        load_model(copy(config=json.dumps(config)))


def test_a_value_that_would_be_looked_up_is_refused(written, copy):
    config = json.loads(metadata(written[2])["config"]) | {"pooling": "${oc.env:HOME}"}
    with pytest.raises(CheckpointError, match="a resolved configuration has no such value"):
        load_model(copy(config=json.dumps(config)))


def test_a_trusted_package_is_built(written, copy):
    config = json.loads(metadata(written[2])["config"])
    config["layer"]["_target_"] = f"{__name__}.Foreign"
    path = copy(config=json.dumps(config))
    with pytest.raises(CheckpointError, match=r"packages=\[\.\.\.\]"):
        load_model(path)
    model = load_model(path, packages=[__name__])
    assert type(model.blocks[0].layer).__name__ == "Foreign"
    assert isinstance(model, nn.Module)


def test_settings_of_another_version_are_one_line(written, copy):
    config = json.loads(metadata(written[2])["config"]) | {"attention": 8}
    with pytest.raises(CheckpointError, match=r"cannot build its model of version .*attention"):
        load_model(copy(config=json.dumps(config)))
    other = json.loads(metadata(written[2])["config"]) | {"n_layers": 3}
    with pytest.raises(CheckpointError, match=r"blocks\.2\.norm\.weight is missing"):
        load_model(copy(config=json.dumps(other)))


def test_a_failed_write_leaves_the_earlier_file(written, monkeypatch, tmp_path):
    checkpoint, cfg, path = written
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(CheckpointError, match=r"cannot be written \(No space left"):
        export(checkpoint, cfg, "other", path)
    assert path.read_bytes() == before
    assert list(path.parent.glob(f".{NAME}*")) == []
