"""What a wandb agent would type from the files in sweeps/ is a training that composes."""

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from longrange.cli import CONFIG_DIR, compose

ROOT = CONFIG_DIR.parent
FILES = sorted((ROOT / "sweeps").glob("wandb_*.yaml"))


def corners(parameter: dict) -> list:
    """The values at the ends of a parameter's range, or all that are named."""
    return parameter.get("values") or [parameter["min"], parameter["max"]]


def typed(sweep: dict, values: dict) -> list[str]:
    """The command line for a point, made of wandb's own pieces."""
    pieces = create_sweep_command_args({"args": {name: {"value": value} for name, value in values.items()}})
    pieces |= {"env": ["/usr/bin/env"], "program": [sweep["program"]]}
    words = []
    for word in create_sweep_command(list(sweep["command"])):
        words += pieces[word[2:-1]] if word.startswith("${") else [word]
    return words


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_corner_composes_to_what_it_names(file):
    sweep = yaml.safe_load(file.read_text())
    names = list(sweep["parameters"])
    for number in range(max(len(corners(parameter)) for parameter in sweep["parameters"].values())):
        values = {name: (all_ := corners(sweep["parameters"][name]))[number % len(all_)] for name in names}
        env, python, script, *overrides = typed(sweep, values)
        assert (env, python) == ("/usr/bin/env", "python")
        assert (ROOT / script).is_file()
        cfg = compose("train", overrides)
        assert cfg.optimizer.lr == values["optimizer.lr"]
        assert cfg.model.layer.d_state == values["model.layer.d_state"]
        assert "wandb" in cfg.logger


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_its_space_is_that_of_the_search_it_names(file):
    sweep = yaml.safe_load(file.read_text())
    search = compose("tune", [f"search={file.stem.removeprefix('wandb_')}"]).search.space
    assert set(sweep["parameters"]) == set(search)
    for name, form in search.items():
        kind = next(kind for kind in ("choices", "float", "int") if kind in form)
        assert corners(sweep["parameters"][name]) == list(form[kind])


def test_there_is_one():
    assert FILES
