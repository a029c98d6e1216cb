"""Every file in configs/ composes, and every `_target_` in it exists and takes the keys it is given."""

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf

from longrange.cli import CONFIG_DIR, compose
from longrange.diagnose import group_options

ELSEWHERE = {"hydra", "experiment"}  # experiments are composed, and their objects built, in test_published_settings.py
GROUPS = sorted(path.name for path in CONFIG_DIR.iterdir() if path.is_dir() and path.name not in ELSEWHERE)
OPTIONS = [f"{group}={option}" for group in GROUPS for option in group_options(CONFIG_DIR, group)]
SCRIPTS = sorted(path.stem for path in CONFIG_DIR.glob("*.yaml"))
# Ray brings thirty packages along; whoever has them installed tests its launcher too.
NOT_ALWAYS_INSTALLED = {"launcher=ray": "hydra_plugins.hydra_ray_launcher"}
HYDRA_KEYS = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}


def script_that_chooses(group: str) -> str:
    """The script's config whose table of contents names a group."""
    for script in ["train", *SCRIPTS]:
        defaults = OmegaConf.load(CONFIG_DIR / f"{script}.yaml").defaults
        if any(group in entry for entry in defaults if not isinstance(entry, str)):
            return script
    raise AssertionError(f"no config in configs/ chooses {group}")


def targets(node: Any, path: str = "") -> Iterator[tuple[str, dict]]:
    """Every mapping with a `_target_`, at any depth, and its dotted name."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node
        for key, child in node.items():
            yield from targets(child, f"{path}.{key}".lstrip("."))


def refused_keys(node: dict) -> set[str]:
    """Keys that the target's signature has no place for."""
    parameters = inspect.signature(get_object(node["_target_"])).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return set()
    return set(node) - HYDRA_KEYS - set(parameters)


@pytest.mark.parametrize("option", OPTIONS)
def test_option_composes_and_its_targets_take_its_keys(option):
    if option in NOT_ALWAYS_INSTALLED:
        pytest.importorskip(NOT_ALWAYS_INSTALLED[option])
    cfg = OmegaConf.to_container(compose(script_that_chooses(option.partition("=")[0]), [option]))
    found = dict(targets(cfg))
    assert {"data", "model", "trainer"} <= found.keys()
    assert not {path: refused for path, node in found.items() if (refused := refused_keys(node))}


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_config_composes(script):
    cfg = OmegaConf.to_container(compose(script))
    assert not {path: refused for path, node in targets(cfg) if (refused := refused_keys(node))}


def test_refused_keys_sees_a_misspelt_argument():
    assert refused_keys({"_target_": "fractions.Fraction", "numerator": 1, "denominatr": 2}) == {"denominatr"}


def test_an_experiment_overrides_groups_and_the_command_line_overrides_it():
    published = compose("train", ["experiment=listops/s5"])
    changed = compose("train", ["experiment=listops/s5", "model.n_layers=2", "optimizer=s5_noBCdecay"])
    assert published.model.n_layers == 8
    assert changed.model.n_layers == 2
    assert changed.optimizer.rules != published.optimizer.rules
    assert changed.data == published.data
