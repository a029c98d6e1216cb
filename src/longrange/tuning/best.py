"""The best point of a search as an experiment that `scripts/train.py` loads."""

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from longrange.cli import CONFIG_DIR
from longrange.whole_files import write_whole

# Of the machine or of the run, not of the experiment; the trainer's other values are the experiment's.
_LEFT_OUT = re.compile(
    r"(paths|logger|callbacks|launcher|seed|backend|graphs|resume|save_every_s)(\.|$)"
    r"|trainer($|\.(accelerator|devices|strategy|num_nodes)$)"
)


def write_experiment(overrides: Sequence[str], comments: Sequence[str], folder: Path, name: str) -> Path:
    """Write `experiment/<name>.yaml` into a folder that is given to the training by `--config-dir`.

    Args:
        overrides: command line of the training; what only says where it ran stays out.
        comments: lines for the head of the file.
        folder: the folder to be given.
        name: of the experiment.
    Returns:
        The file.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    kept = [override for override in parsed if not _LEFT_OUT.match(override.key_or_group)]
    groups = {override.key_or_group: override.value() for override in kept if _is_group(override)}
    base = [groups.pop("experiment")] if groups.get("experiment") else []
    values = OmegaConf.create()
    for override in kept:
        if not _is_group(override):
            OmegaConf.update(values, override.key_or_group, override.value())
    defaults = [*base, "_self_", *({f"override /{group}": value} for group, value in groups.items())]
    head = ["# @package _global_", *(f"# {line}" for line in comments)]
    body = OmegaConf.to_yaml(OmegaConf.create({"defaults": defaults})) + OmegaConf.to_yaml(values)
    path = folder / "experiment" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_whole(path, ("\n".join(head) + "\n" + body).encode())


def _is_group(override: Override) -> bool:
    return (CONFIG_DIR / override.key_or_group).is_dir()
