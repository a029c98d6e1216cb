"""The folders are the architecture: imports point downwards, files and functions stay small."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import longrange

ROOT = Path(longrange.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
LEVELS = [
    "errors",
    "provenance",
    "ranks",
    "secrecy",
    "whole_files",
    "csv_files",
    "terminal",
    "pictures",
    "overrides",
    "ssm",
    "kernels",
    "layers",
    "models",
    "data",
    "peers",
    "training",
    "benchmarks",
    "results",
    "orchestration",
    "diagnose",
    "cli",
    "tuning",
]
USABLE_ALONE = {"ssm", "kernels", "layers", "models"}
# The second Lightning namespace has equal names but other classes; the others do not install beside a current torch.
NEVER = {"lightning", "torchtext", "torchaudio", "pykeops"}

each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())


def part(file: Path) -> str:
    """The folder, or the module that stands on its own."""
    return file.relative_to(ROOT).with_suffix("").parts[0]


def imports(file: Path) -> Iterator[str]:
    """Dotted names of everything a file imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_part_has_its_level():
    assert {part(file) for file in FILES} <= {*LEVELS, "__init__"}


@each_file
def test_imports_point_downwards(file):
    inside = [name.split(".")[1] for name in imports(file) if name.startswith("longrange.")]
    own = LEVELS.index(part(file)) if part(file) in LEVELS else -1
    above = [name for name in inside if name in LEVELS and LEVELS.index(name) > own]
    assert not above


@each_file
def test_imports_come_from_allowed_packages(file):
    packages = {name.split(".")[0] for name in imports(file)} - set(sys.stdlib_module_names) - {"longrange"}
    assert not packages & NEVER
    if part(file) in USABLE_ALONE:
        assert packages <= {"torch", "numpy", "numba", "llvmlite", "triton"}


@each_file
def test_files_and_functions_stay_small(file):
    text = file.read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, f"{node.name} is too long"
