"""A search is checked before it starts."""

import dataclasses
import runpy

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from longrange.cli import compose
from longrange.errors import ConfigError
from longrange.tuning.plan import read_plan
from tests.paths import ROOT


def test_every_trial_shares_what_is_not_the_searchs_own(search):
    plan = read_plan(search("workers=2", "seed=3"))
    assert plan.overrides[0] == "experiment=quickstart"
    assert {"model.d_model=8", "seed=3"} < set(plan.overrides)
    assert not [override for override in plan.overrides if override.startswith(("search", "workers", "heartbeat"))]
    assert (plan.metric, plan.direction, plan.trials) == ("accuracy", "maximize", 3)
    command = plan.command({"optimizer.lr": 0.002, "optimizer": "s5_standard"})
    assert command == [*plan.overrides, "optimizer.lr=0.002", "optimizer=s5_standard"]


def test_a_named_experiment_takes_the_place_of_the_searchs(search):
    plan = read_plan(search("experiment=listops/s5"))
    assert [override for override in plan.overrides if override.startswith("experiment=")] == ["experiment=listops/s5"]


def test_a_regression_is_minimised(tmp_path):
    cfg = compose("tune", ["search=quickstart", "experiment=bidmc_hr/s5"], tmp_path)
    cfg.search.space = {"optimizer.lr": {"float": [0.1, 1.0]}}
    plan = read_plan(cfg)
    assert (plan.metric, plan.direction) == ("rmse", "minimize")


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"optimizer.lrr": {"float": [0.1, 1.0]}}, "optimizer.lrr: no such key; nearest: optimizer.lr"),
        ({"optimizer": {"choices": ["s5_standard", "s5_standart"]}}, "no such optimizer; nearest: s5_standard"),
        ({"model.n_layers": {"ints": [1, 2]}}, "search.space.model.n_layers: "),
    ],
)
def test_a_mistake_in_the_space_stops_the_search_before_it_starts(search, space, told):
    with pytest.raises(ConfigError) as refused:
        read_plan(search(space=space))
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("resume=last", "goes on by itself"),
        ("~model.block.dropout", "cannot delete keys"),
        ("workers=0", "at least 1"),
        ("epochs=0", "epochs=0: must be at least 1"),
        ("trainer.accelerator=abacus", "trainer: "),
        ("search.sampler._target_=optuna.samplers.TPSampler", "search.sampler: "),
        ("+search.pruner.warmup=3", "search.pruner: "),
    ],
)
def test_a_mistake_in_the_command_stops_the_search_before_it_starts(search, argument, told):
    with pytest.raises(ConfigError) as refused:
        read_plan(search(argument))
    assert told in str(refused.value)


def test_an_entry_on_the_command_line_takes_the_place_of_the_files(arguments, tmp_path):
    """Nothing of the file's, such as its `log: true`, is mixed into it; null takes a key out."""
    entries = ["optimizer.lr: {float: [0.1, 1.0]}", "optimizer.ssm_lr: {choices: [0.1]}", "model.n_layers: null"]
    changed = [f"++search.space={{{entry}}}" for entry in entries]
    file, ours = (read_plan(compose("tune", [*arguments, *more], tmp_path)).space for more in ([], changed))
    assert file.keys() - ours.keys() == {"model.n_layers"}
    assert file["model.block.dropout"] == ours["model.block.dropout"]
    assert ours["optimizer.lr"] == FloatDistribution(0.1, 1.0)
    assert ours["optimizer.ssm_lr"] == CategoricalDistribution([0.1])


def test_a_space_that_holds_no_keys_is_refused(arguments, tmp_path):
    with pytest.raises(ConfigError, match=r"^search\.space=None: holds no keys"):
        read_plan(compose("tune", [*arguments, "++search.space=null"], tmp_path))


@pytest.mark.parametrize(
    ("typed", "taken"),
    [
        ("search.space.optimizer.lr={choices: [1]}", "++search.space={optimizer.lr: {choices: [1]}}"),
        ("search.space.optimizer=null", "++search.space={optimizer: null}"),
        ("search.space={optimizer.lr: null}", "++search.space={optimizer.lr: null}"),
        ("search.trials=3", "search.trials=3"),
    ],
)
def test_an_entry_is_named_by_its_key(typed, taken):
    entries = runpy.run_path(str(ROOT / "scripts" / "tune.py"))["entries"]
    assert entries(typed) == entries(taken) == taken


def test_a_search_file_that_sets_more_than_its_space_is_refused(search):
    cfg = search()
    cfg.model.n_layers = 7
    with pytest.raises(ConfigError, match="the search file sets model"):
        read_plan(cfg)


def test_each_trial_draws_from_a_seed_of_its_own_and_always_the_same(search):
    plan = read_plan(search())
    other = dataclasses.replace(plan, settings={**plan.settings, "seed": 1})
    seeds = [plan.sampler(number)._rng.rng.randint(2**31) for number in (0, 1, 2, 0)]
    assert len(set(seeds)) == 3
    assert seeds[0] == seeds[3]
    assert other.sampler(0)._rng.rng.randint(2**31) != seeds[0]


def test_trials_are_comparable_whatever_logs_them(search):
    plan = read_plan(search("logger=csv", "save_every_s=60", "workers=2"))
    bare = [override for override in plan.overrides if not override.startswith(("logger", "paths", "save_every_s"))]
    assert plan.identity() == dataclasses.replace(plan, overrides=tuple(reversed(bare))).identity()
    assert plan.identity() != dataclasses.replace(plan, overrides=(*plan.overrides, "seed=1")).identity()
