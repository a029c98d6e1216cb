"""Whatever value a key of the configuration gets, the training runs a step, or one line names the key or says that
the loss is no longer finite or that memory is short.

A few dozen cases in the suite; 500: `FUZZ_CASES=500 pytest tests/fuzz/test_config.py`.
"""

import gc
import os
import random
import signal
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from longrange import diagnose
from longrange.cli import CONFIG_DIR, compose
from longrange.training import train

pytestmark = pytest.mark.slow

CASES = int(os.environ.get("FUZZ_CASES", "40"))
SECONDS = 60  # for one case; a hang is a failure
TINY = [
    *("data=listops_short", "trainer=debug", "data.recipe.train=60", "data.recipe.val=20", "data.recipe.test=20"),
    *("model.d_model=4", "model.n_layers=1", "data.batch_size=10"),
]
BASES = {
    "s5": ["model.layer.d_state=4", "model.layer.n_blocks=1"],
    "s4": ["model=s4", "optimizer=s4", "model.layer.d_state=4"],
    "s4d": ["model=s4d", "optimizer=s4", "model.layer.d_state=4", "scheduler=plateau"],
    "lssl": ["model=lssl", "optimizer=lssl", "model.layer.d_state=4", "scheduler=multistep"],
}
VALUES = ["0", "-1", "2.5", "1000000000000", "nan", "inf", "-inf", "''", "null", "true", "abc", "[]", "[1,x]", "{a:1}"]
ENDLESS = [("trainer.max_epochs", "1000000000000"), ("epochs", "1000000000000")]  # are run, as told
ALSO_KNOWN_AS = {"accumulate_grad_batches": "accumulate", "betas": "beta parameter"}  # the latter by torch
# Where files go, what a folder is called, and what is run at all, are no numbers that a step depends on.
LEFT_OUT = ("paths.", "name.", "logger.", "hydra")


def keys_of(config) -> list[str]:
    """The dotted names of all values."""
    nested = OmegaConf.to_container(config)

    def walk(node, prefix):
        for key, value in node.items():
            if isinstance(value, dict) and value:
                yield from walk(value, f"{prefix}{key}.")
            else:
                yield prefix + key

    names = [key for key in walk(nested, "") if not key.startswith(LEFT_OUT)]
    return [key for key in names if not key.endswith(("_target_", "_partial_", "_convert_"))]


def cases() -> list[tuple[str, str, str]]:
    """(base, key, value), drawn without repetition."""
    everything = []
    for base, overrides in BASES.items():
        config = compose("train", [*TINY, *overrides])
        shared = set() if base == "s5" else set(keys_of(compose("train", [*TINY, *BASES["s5"]])))
        everything += [(base, key, value) for key in keys_of(config) if key not in shared for value in VALUES]
    everything = [case for case in everything if case[1:] not in ENDLESS]
    return random.Random(0).sample(everything, min(CASES, len(everything)))


@pytest.fixture
def limited():
    """Fail a case that hangs."""

    def stop(*_):
        raise AssertionError(f"still running after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(("base", "key", "value"), cases())
def test_a_value_runs_or_is_refused_by_name(base, key, value, tmp_path, limited, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where a value names a folder
    line = refusal([*TINY, *BASES[base], f"{key}={value}", f"paths.data={data_folder(tmp_path)}"], tmp_path / "run")
    gc.collect()
    leaf = key.rpartition(".")[2]
    names = (leaf, ALSO_KNOWN_AS.get(leaf, leaf), "loss is", "not enough memory")
    assert line is None or any(name in line for name in names), line


def refusal(command: list[str], run_dir: Path) -> str | None:
    """The line that a user reads; None where the training ran.

    Raises:
        Exception: what the user would see as a traceback.
    """
    try:
        cfg = compose("train", command, run_dir=run_dir)
    except Exception as error:
        return diagnose.composition_error(error, CONFIG_DIR, "train", command)
    try:
        train(cfg)
    except Exception as error:
        line = diagnose.run_error(error, CONFIG_DIR, "train", command)
        if line is None:
            raise
        return line
    return None


def data_folder(tmp_path: Path) -> Path:
    """One for all cases: the recipe is part of a cache's name."""
    folder = tmp_path.parent / "fuzz-data"
    folder.mkdir(exist_ok=True)
    return folder
