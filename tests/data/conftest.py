"""Data that several tests read: rows of the published generator, a small recipe, and a folder made from it."""

import gzip
from pathlib import Path

import pytest

from longrange.data.generate.listops import Recipe, generate

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def official(tmp_path_factory) -> Path:
    """200 rows written by the benchmark's own generator."""
    path = tmp_path_factory.mktemp("official") / "basic_test.tsv"
    path.write_bytes(gzip.decompress((GOLDEN / "listops_official_200.tsv.gz").read_bytes()))
    return path


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """Short expressions, few of them."""
    return Recipe(min_length=8, max_length=30, train=300, val=40, test=50)


@pytest.fixture(scope="session")
def made(tmp_path_factory, recipe) -> Path:
    """Files generated from `recipe` with seed 0; tests only read them."""
    folder = tmp_path_factory.mktemp("made") / "listops"
    generate(folder, recipe, seed=0)
    return folder
