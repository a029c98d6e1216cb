"""The tests that the pages of docs/ name as keepers of a promise are there, and as slow as the pages say."""

import ast
import re

import pytest

from tests.paths import ROOT

ROWS = [
    (page.name, *named, "(*slow*)" in line)
    for page in sorted((ROOT / "docs").glob("*.md"))
    for line in page.read_text().splitlines()
    for named in re.findall(r"`(tests/[\w/]+\.py)::([\w:]+)`", line)
]


def test_the_pages_name_tests():
    assert len(ROWS) > 40
    assert sum(page.read_text().count("::test_") for page in (ROOT / "docs").glob("*.md")) == len(ROWS)


@pytest.mark.parametrize(("page", "file", "name", "slow"), ROWS)
def test_a_named_test_exists(page, file, name, slow):
    found: ast.AST = ast.parse((ROOT / file).read_text())
    marks = [ast.unparse(node.value) for node in found.body if isinstance(node, ast.Assign)]
    for part in name.split("::"):
        (found,) = [node for node in found.body if getattr(node, "name", None) == part]
    marks += [ast.unparse(mark) for mark in found.decorator_list]
    assert slow == ("pytest.mark.slow" in marks)
