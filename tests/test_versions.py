"""The floors of pyproject.toml are what constraints-oldest.txt pins; what constraints.txt pins is allowed by them."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from longrange.cli import CONFIG_DIR

ROOT = CONFIG_DIR.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED = [Requirement(text) for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]


def pins(file: str) -> dict[str, Version]:
    """Version by name; a line that is anything but a name and a version fails."""
    lines = (ROOT / file).read_text().splitlines()
    found = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines]
    return {canonicalize_name(name): Version(version) for name, version in (match.groups() for match in found)}


def floor(needed: Requirement) -> Version:
    return next(Version(part.version) for part in needed.specifier if part.operator == ">=")


@pytest.mark.parametrize("needed", NEEDED, ids=str)
def test_the_oldest_versions_are_the_floors(needed):
    assert pins("constraints-oldest.txt")[canonicalize_name(needed.name)] == floor(needed)


@pytest.mark.parametrize("needed", NEEDED, ids=str)
def test_pinned_versions_are_allowed(needed):
    assert needed.specifier.contains(pins("constraints.txt")[canonicalize_name(needed.name)])
