"""What `--help` shows can be typed, and tells of every option."""

import re
import shlex
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from longrange.cli import CONFIG_DIR, compose, opened
from longrange.diagnose import group_options
from tests.paths import ROOT

HELP = {path.stem: path.read_text() for path in sorted((CONFIG_DIR / "hydra" / "help").glob("*.yaml"))}
SHORT_FORMS = ("--status", "data=all")  # of scripts/prepare_data.py; Hydra does not see them


def examples() -> list[tuple[str, list[str]]]:
    """Name of the script and arguments of every example, without the words behind it."""
    found = re.findall(r"^ +python scripts/(\w+)\.py(.*)$", "\n".join(HELP.values()), flags=re.MULTILINE)
    return [(script, shlex.split(re.split(r" {3,}|#", line)[0])) for script, line in found]


@pytest.mark.parametrize(("script", "arguments"), examples())
def test_an_example_composes_and_leaves_nothing_out(script, arguments):
    given = [word for word in arguments if word not in ("-m", *SHORT_FORMS)]
    if "-m" in arguments:
        given = [word.partition(",")[0] for word in given]  # the first job
    cfg = compose(script, opened(given) if script == "evaluate" else given)
    assert not OmegaConf.missing_keys(cfg)


@pytest.mark.parametrize("option", group_options(CONFIG_DIR, "benchmark"))
def test_the_help_of_the_benchmarks_says_what_each_measures(option):
    assert re.search(rf"^    {option} {{3,}}\w", HELP["benchmark"], flags=re.MULTILINE)


def test_those_with_values_to_give_or_data_to_read_have_an_example():
    shown = {word.partition("=")[2] for script, words in examples() for word in words if word.startswith("benchmark=")}
    assert shown >= {"peers", "precision", "loader", "profile"}


def test_a_reader_that_has_enough_of_the_help_is_no_error():
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141
