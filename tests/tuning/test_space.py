"""A space in YAML, and its points on a command line."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna import create_study
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from longrange.errors import ConfigError
from longrange.tuning.space import as_override, corners, read_space, shown, suggest

SPACE = {
    "optimizer.lr": {"float": [1e-4, 1e-2], "log": True},
    "model.block.dropout": {"float": [0, 0.3], "step": 0.1},
    "model.n_layers": {"int": [2, 6], "step": 2},
    "optimizer": {"choices": ["s5_standard", "s5_noBCdecay"]},
}


def test_each_form_is_a_distribution():
    assert read_space(SPACE) == {
        "optimizer.lr": FloatDistribution(1e-4, 1e-2, log=True),
        "model.block.dropout": FloatDistribution(0.0, 0.3, step=0.1),
        "model.n_layers": IntDistribution(2, 6, step=2),
        "optimizer": CategoricalDistribution(["s5_standard", "s5_noBCdecay"]),
    }


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"float": [1, 0]}, "low <= high"),
        ({"float": [0.0, 1.0], "log": True}, "low > 0"),
        ({"float": [0.1, 1.0], "log": True, "step": 0.1}, "step"),
        ({"float": ["a", "b"]}, "float"),
        ({"int": [0.5, 2]}, "must be {float: [low, high]"),
        ({"int": [1, 2, 3]}, "must be {float: [low, high]"),
        ({"float": [0.0, 1.0], "lgo": True}, "must be {float: [low, high]"),
        ({"choices": []}, "must be {float: [low, high]"),
        ({"choices": [[1, 2]]}, "words, numbers"),
        ([1, 2], "must be {float: [low, high]"),
    ],
)
def test_a_wrong_form_is_refused_by_name(given, told):
    with pytest.raises(ConfigError) as refused:
        read_space({"model.n_layers": given})
    assert str(refused.value).startswith("search.space.model.n_layers: ")
    assert told in str(refused.value)


def test_an_empty_space_is_refused():
    with pytest.raises(ConfigError, match="name at least one key"):
        read_space({})


def test_a_point_lies_in_its_space():
    space = read_space(SPACE)
    point = suggest(create_study().ask(), space)
    assert point.keys() == space.keys()
    assert all(space[name]._contains(space[name].to_internal_repr(value)) for name, value in point.items())


def test_corners_are_what_must_be_tried():
    space = read_space(SPACE)
    assert corners(space["model.n_layers"]) == [2, 6]
    assert corners(space["optimizer"]) == ["s5_standard", "s5_noBCdecay"]


@pytest.mark.parametrize(
    "value", [3, -2, 1e-05, 0.1, 123456.789e10, True, None, "listops/s5", "true", "a b", "it's", "a,b", "[1]", "5", ""]
)
def test_an_override_reads_back_as_its_value(value):
    (parsed,) = OverridesParser.create().parse_overrides([as_override("model.x", value)])
    assert parsed.key_or_group == "model.x"
    read = parsed.value()
    assert read == value
    assert isinstance(read, type(value))


def test_a_point_is_shown_in_four_digits():
    assert shown({"optimizer.lr": 0.0123456, "model.n_layers": 4}) == "optimizer.lr=0.01235 model.n_layers=4"
