"""The published implementations: where each is from, what runs it, and which of our models it has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from longrange.errors import ConfigError
from longrange.models.spec import TaskSpec


@dataclass(frozen=True)
class Peer:
    """A published implementation.

    Attributes:
        key: `benchmark.<key>` is the folder of its checkout.
        repository: owner and name on GitHub.
        file: one that every checkout has.
        program: of its worker, in `alone/`.
        packages: what the worker's interpreter needs.
        options: key under `model` -> values that it has, the first ours by default; it has all of the other keys.
        paired: has a model for pairs of sequences.
    """

    key: str
    repository: str
    file: str
    program: str
    packages: str
    options: Mapping[str, Sequence[Any]]
    paired: bool

    def check(self, cfg: DictConfig, spec: TaskSpec) -> None:
        """See that it has the model of a configuration.

        Raises:
            ConfigError: it does not; the message names the first key in question.
        """
        for key, values in self.options.items():
            value = OmegaConf.select(cfg.model, key, default=values[0])
            if value not in values:
                raise ConfigError(f"model.{key}={value}: {self.repository} has only {', '.join(map(str, values))}")
        if spec.loss != "cross_entropy" or (spec.paired and not self.paired):
            what = "pairs of sequences" if spec.paired else "regression"
            raise ConfigError(f"data={cfg.name.task}: {self.repository} has no model for {what}; choose another task")

    def checkout(self, folder: str | None) -> Path:
        """The folder of its checkout.

        Args:
            folder: what `benchmark.<key>` says.
        Raises:
            ConfigError: nothing, or a folder that is no checkout of it.
        """
        source = f"a checkout of https://github.com/{self.repository}"
        if folder is None:
            raise ConfigError(f"benchmark.{self.key} has no value: give the folder of {source}")
        if not Path(folder, self.file).is_file():
            raise ConfigError(f"benchmark.{self.key}={folder}: has no {self.file}; give the folder of {source}")
        return Path(folder).absolute()


PEERS = {
    "longrange.layers.S5": Peer(
        key="s5",
        repository="lindermanlab/S5",
        file="s5/seq_model.py",
        program="s5_jax.py",
        packages="jax, flax and optax",
        options={
            "encoder.tokens": ("onehot",),
            "block.activation": ("half_glu1", "half_glu2", "full_glu", "gelu"),
            "block.tie_dropout": (True,),
            "final_norm": (False,),
            "recompute": (False,),
        },
        paired=True,
    ),
    "longrange.layers.S4": Peer(
        key="s4",
        repository="state-spaces/s4",
        file="models/s4/s4.py",
        program="s4_torch.py",
        packages="torch, pytorch-lightning, einops and scipy",
        options={
            "encoder.tokens": ("embedding",),
            "block.activation": ("glu", "linear"),
            "recompute": (False,),
        },
        paired=False,
    ),
}


def peer_of(cfg: DictConfig, spec: TaskSpec) -> Peer:
    """The implementation that was published with the layer of a configuration.

    Args:
        cfg: as composed from configs/benchmark.yaml.
        spec: of its task.
    Raises:
        ConfigError: there is none, or it lacks something of the model.
    """
    layer = cfg.model.layer["_target_"]
    if layer not in PEERS:
        known = ", ".join(f"{name.rpartition('.')[2]} ({peer.repository})" for name, peer in PEERS.items())
        raise ConfigError(f"model={cfg.name.model}: benchmark=peers knows no peer of this layer, only of {known}")
    PEERS[layer].check(cfg, spec)
    return PEERS[layer]
