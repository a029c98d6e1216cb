"""What README.md and CONTRIBUTING.md show works: the Python runs, the commands compose, the links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest

from longrange.cli import CONFIG_DIR, compose, opened

ROOT = CONFIG_DIR.parent
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def blocks(language: str) -> list[str]:
    """The README's fenced blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands(start: str) -> list[str]:
    """The lines of the README's shell blocks that begin with some words, without their comments."""
    lines = [line.partition("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith(start)]


@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where one draws its data
    names = {}
    exec(code, names)
    left = {"scores": (2, 5), "y": (2, 1000, 128), "targets": (50,)}
    assert next(names[name].shape == shape for name, shape in left.items() if name in names)


@pytest.mark.parametrize("command", commands("python "))
def test_commands_compose(command):
    _, script, *arguments = shlex.split(command)
    assert (ROOT / script).is_file()
    overrides = [argument.partition(",")[0] for argument in arguments if not argument.startswith("-")]
    for launcher in [override for override in overrides if override.startswith("launcher=")]:  # needs a package
        assert (CONFIG_DIR / "launcher" / f"{launcher.partition('=')[2]}.yaml").is_file()
        overrides.remove(launcher)
    compose(Path(script).stem, opened(overrides) if script.endswith("evaluate.py") else overrides)


@pytest.mark.parametrize("command", commands("make "))
def test_make_targets_exist(command):
    assert re.search(rf"^{command.split()[1]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("target", re.findall(r"\]\((?!http)(.*?)\)", README))
def test_links_lead_to_files(target):
    assert (ROOT / target).is_file()


@pytest.mark.parametrize("path", re.findall(r"`((?:src|configs|tests|scripts|kernels)/[^`<>{}]*)`", CONTRIBUTING))
def test_paths_in_contributing_exist(path):
    assert (ROOT / path).exists() or (ROOT / "src" / "longrange" / path).exists()
