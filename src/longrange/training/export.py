"""A trained model as one file for others, `model.safetensors`: weights, and what rebuilds the model around them.

Nothing in it is code. Of the classes that it names only those of `longrange.models` and `longrange.layers` are built,
and of packages that whoever loads it trusts.
"""

import hashlib
import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from longrange.errors import CheckpointError
from longrange.models.spec import TaskSpec
from longrange.training.build import build
from longrange.training.checkpoint import check_fits, load, load_weights
from longrange.training.durable import write_whole
from longrange.training.values import leaves

NAME = "model.safetensors"
TRUSTED = ("longrange.models", "longrange.layers")


def export(checkpoint: Path, cfg: DictConfig, commit: str, target: Path) -> Path:
    """Write the weights of a checkpoint, with task, model, commit, and the resolved configuration of the model.

    Args:
        checkpoint: of a training.
        cfg: the configuration of that training.
        commit: of the code that ran.
        target: the file; it is written whole or not at all.
    Returns:
        The file.
    Raises:
        CheckpointError: the checkpoint is missing, damaged, or of another model, or the file cannot be written.
    """
    spec = build(cfg.data).spec
    model = build(cfg.model, spec=spec)
    load_weights(model, load(checkpoint), checkpoint)
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in model.state_dict().items()}
    words = {
        "format": "pt",
        "longrange": version("longrange"),
        "task": cfg.name.task,
        "model": cfg.name.model,
        "commit": commit,
        "spec": json.dumps(asdict(spec)),
        "config": json.dumps(OmegaConf.to_container(cfg.model, resolve=True)),
    }
    write_whole(target, save(tensors, {**words, "sha256": _digest(tensors, words)}))
    return target


def load_model(path: str | Path, packages: Sequence[str] = ()) -> nn.Module:
    """The model that `export` wrote, from that file alone; it computes what it computed there, to the bit.

    Args:
        path: the file.
        packages: trusted ones besides longrange, whose modules the model may be made of.
    Returns:
        A `SequenceClassifier`, on the CPU, ready for evaluation.
    Raises:
        CheckpointError: the file is missing, damaged, of something else, or made of classes that are not trusted.
    """
    tensors, words = _read(Path(path))
    config = _made_of_trusted_parts(words, Path(path), (*TRUSTED, *packages))
    try:
        model = build(OmegaConf.create(config), spec=TaskSpec(**json.loads(words["spec"])))
    except Exception as problem:  # what an older or a newer version's settings meet here, in a constructor or before it
        reason = str(problem.__cause__ or problem).partition("\n")[0]
        raise CheckpointError(
            f"{path}: this version, {version('longrange')}, cannot build its model of version {words['longrange']}: "
            f"{reason}"
        ) from problem
    stored = {"state_dict": {f"model.{name}": tensor for name, tensor in tensors.items()}}
    check_fits(model, {**stored, "config": {"model": config, "data": {"_target_": words["task"]}}}, Path(path))
    model.load_state_dict(tensors)
    return model.eval()


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and words of a file, held against its checksum."""
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file")
    try:
        with safe_open(path, framework="pt") as file:
            words = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as problem:
        raise CheckpointError(f"{path}: damaged, truncated, or no safetensors file ({problem})") from problem
    if not {"longrange", "task", "config", "spec", "sha256"} <= words.keys():
        raise CheckpointError(f"{path}: a safetensors file, but not of a longrange training")
    if words.pop("sha256") != _digest(tensors, words):
        raise CheckpointError(f"{path}: damaged, it is not what was written; get it again")
    return tensors, words


def _digest(tensors: Mapping[str, Tensor], words: Mapping[str, str]) -> str:
    """SHA-256 over all words and tensors in the order of their names."""
    digest = hashlib.sha256(json.dumps(sorted(words.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _made_of_trusted_parts(words: Mapping[str, str], path: Path, packages: Sequence[str]) -> dict[str, Any]:
    """The configuration of the model, if all that building it would call are modules of trusted packages."""
    config = json.loads(words["config"])
    for key, value in leaves(config):
        if key == "_target_" and not _is_module_of(value, packages):
            raise CheckpointError(
                f"{path}: its model is made of {value}, which is no module of {', '.join(packages)}; "
                "if you trust it, name its package: load_model(path, packages=[...])"
            )
        if isinstance(value, str) and "${" in value:
            raise CheckpointError(f"{path}: {key}={value}: a resolved configuration has no such value")
    return config


def _is_module_of(target: Any, packages: Sequence[str]) -> bool:
    """Whether a dotted path names a class of torch modules that is defined within one of the packages."""
    home, _, name = str(target).rpartition(".")
    inside = [package for package in packages if f"{home}.".startswith(f"{package}.")]
    if not inside:
        return False
    try:
        found = getattr(importlib.import_module(home), name, None)
    except ImportError:
        return False
    homes = tuple(f"{package}." for package in inside)
    return isinstance(found, type) and issubclass(found, nn.Module) and f"{found.__module__}.".startswith(homes)
