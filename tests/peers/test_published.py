"""Which models have a peer, and what a checkout must be."""

import ast
from pathlib import Path

import pytest

from longrange.cli import compose
from longrange.errors import ConfigError
from longrange.peers import alone
from longrange.peers.published import PEERS, peer_of
from longrange.training.build import build

PROGRAMS = sorted(Path(alone.__file__).parent.glob("*.py"))
S5, S4 = PEERS["longrange.layers.S5"], PEERS["longrange.layers.S4"]
COMPARED = [
    *(f"{task}/s5" for task in ("listops", "text", "retrieval", "image", "pathfinder", "pathx")),
    *(f"{task}/s4_current" for task in ("listops", "text", "image", "pathfinder", "pathx")),
]


def peer(*overrides):
    cfg = compose("benchmark", overrides)
    return peer_of(cfg, build(cfg.data).spec)


@pytest.mark.parametrize("experiment", COMPARED)
def test_the_published_settings_have_a_peer(experiment):
    assert peer(f"experiment={experiment}") is (S5 if experiment.endswith("s5") else S4)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["experiment=listops/s4d_lin"], "model=s4d: benchmark=peers knows no peer of this layer"),
        (
            ["experiment=listops/s5", "model.block.activation=glu"],
            "model.block.activation=glu: lindermanlab/S5 has only",
        ),
        (["experiment=listops/s5", "model.recompute=true"], "model.recompute=True: lindermanlab/S5 has only False"),
        (["experiment=bidmc_hr/s5"], "data=bidmc_hr: lindermanlab/S5 has no model for regression"),
        (["experiment=retrieval/s4_current"], "data=retrieval: state-spaces/s4 has no model for pairs of sequences"),
    ],
)
def test_what_a_peer_lacks_is_named(overrides, words):
    with pytest.raises(ConfigError, match=words):
        peer(*overrides)


def test_a_checkout_is_looked_at_before_anything_runs(tmp_path):
    with pytest.raises(ConfigError, match=r"benchmark\.s5 has no value: .*https://github\.com/lindermanlab/S5$"):
        S5.checkout(None)
    with pytest.raises(ConfigError, match=rf"benchmark\.s4={tmp_path}: has no models/s4/s4\.py; .*state-spaces/s4$"):
        S4.checkout(str(tmp_path))


def test_every_peer_has_a_program():
    assert {each.program for each in PEERS.values()} <= {path.name for path in PROGRAMS}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name)
def test_programs_of_another_interpreter_import_nothing_of_ours(program):
    nodes = list(ast.walk(ast.parse(program.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    assert not [name for name in names if name.startswith("longrange")]
