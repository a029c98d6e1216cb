"""Every experiment: its header, its figures beside the published ones, a training step of a small model of its kind."""

import functools
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch.optim.lr_scheduler import LRScheduler

from longrange.benchmarks.training_step import random_batch
from longrange.cli import CONFIG_DIR, compose
from longrange.diagnose import group_options
from longrange.training.build import build, build_task
from longrange.training.groups import Rule, rules_from
from longrange.training.schedules import Horizon
from longrange.training.task import LOSSES

EXPERIMENTS = group_options(CONFIG_DIR, "experiment")
CELLS = [name for name in EXPERIMENTS if "/" in name]
TABLE = OmegaConf.to_container(OmegaConf.load(Path(__file__).with_name("published_settings.yaml")))
OPTIMIZER_KEYS = {"lr", "ssm_lr", "dt_lr", "weight_decay", "algorithm", "rules"}

# Where a figure of the table stands in a configuration.
PLACES = {
    "L": "model.n_layers",
    "H": "model.d_model",
    "N": "model.layer.d_state",
    "J": "model.layer.n_blocks",
    "M": "model.layer.channels",
    "S": "model.layer.n_ssm",
    "norm": "model.block.norm",
    "prenorm": "model.block.prenorm",
    "momentum": "model.block.norm_momentum",
    "do": "model.block.dropout",
    "act": "model.block.activation",
    "pool": "model.pooling",
    "dt_transform": "model.layer.dt_transform",
    "two_sided": "model.layer.bidirectional",
    "C_init": "model.layer.C_init",
    "clip": "model.layer.clip_eigs",
    "init": "model.layer.init",
    "trainable": "model.layer.trainable",
    "lr": "optimizer.lr",
    "ssm_lr": "optimizer.ssm_lr",
    "dt_lr": "optimizer.dt_lr",
    "bs": "data.batch_size",
    "ep": "trainer.max_epochs",
    "center": "data.center",
    **{key: f"scheduler.{key}" for key in ("warmup_epochs", "warmup_steps", "total_steps", "patience", "factor")},
    **{key: f"scheduler.{key}" for key in ("milestones", "gamma")},
}


@functools.cache
def composed(experiment: str) -> DictConfig:
    """Composed once: it takes a quarter of a second."""
    return compose("train", [f"experiment={experiment}"])


def published(experiment: str) -> dict | None:
    """The published figures of an experiment, None where there are none."""
    task, model = experiment.split("/")
    if model.startswith("s4d_"):
        return TABLE.get(f"{task}/s4") and {**TABLE[f"{task}/s4"], "init": model.removeprefix("s4d_")}
    if model == "lssl_fixed":
        row = TABLE[f"{task}/lssl"]
        return {key: row[key] for key in row if key not in ("ssm_lr", "dt_lr")} | {"trainable": False}
    return TABLE.get(experiment)


def rule_of(cfg: DictConfig, parameter: str) -> Rule:
    """The optimiser rule that takes a parameter."""
    return next(rule for rule in rules_from(cfg.optimizer.rules) if rule.matches(parameter))


def patterns(optimizer: DictConfig) -> list[list[str]]:
    """Which parameters an option set sorts together."""
    return [list(rule.patterns) for rule in optimizer.rules.values()]


def option_set(cfg: DictConfig) -> str:
    """The published name of the rules of an S5 experiment."""
    files = {file.stem: OmegaConf.load(file) for file in CONFIG_DIR.glob("optimizer/s5_*.yaml")}
    (name,) = [name for name, optimizer in files.items() if patterns(optimizer) == patterns(cfg.optimizer)]
    return name.removeprefix("s5_")


def size(cfg: DictConfig) -> int:
    """Parameters of the model, encoder, head and norms included."""
    return sum(p.numel() for p in build(cfg.model, spec=build(cfg.data).spec).parameters())


# Figures of the table that do not stand in a configuration as they are.
DERIVED = {
    "dt": lambda cfg: [cfg.model.layer.dt_min, cfg.model.layer.dt_max],
    "C_lr": lambda cfg: rule_of(cfg, "blocks.0.layer.C").lr,
    "wd": lambda cfg: rule_of(cfg, "head.weight").weight_decay,
    "options": option_set,
    "params": size,
}


def found(cfg: DictConfig, figure: str):
    """A figure of the table in a configuration."""
    return DERIVED[figure](cfg) if figure in DERIVED else OmegaConf.select(cfg, PLACES[figure])


def header(experiment: str) -> str:
    """The comment at the top of an experiment's file, after the package, as one line."""
    lines = (CONFIG_DIR / "experiment" / f"{experiment}.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_"
    end = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return " ".join(line.removeprefix("# ") for line in lines[1:end])


@pytest.mark.parametrize("experiment", [name for name in CELLS if published(name)])
def test_settings_are_the_published_ones(experiment):
    row = published(experiment)
    assert {figure: found(composed(experiment), figure) for figure in row} == row


def test_every_published_row_has_its_experiment():
    assert TABLE.keys() <= set(CELLS)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_header_names_its_command_and_its_source(experiment):
    text = header(experiment)
    assert re.search(rf"python scripts/train\.py experiment={experiment}(\s|$)", text)
    if "/" in experiment:
        assert ("Ours: not published." in text) == (published(experiment) is None)
        assert re.search(r"Published: |Expected there: |No figure is published\.", text)
    else:
        assert "Not a published setting" in text


@pytest.mark.parametrize("experiment", CELLS)
def test_file_name_says_task_and_model(experiment):
    name = composed(experiment).name
    assert (name.experiment, name.task) == (experiment, experiment.split("/")[0])
    assert re.fullmatch(rf"{name.model}(_current|_legs|_inv|_lin|_fixed)?", experiment.split("/")[1])


@pytest.mark.parametrize("experiment", CELLS)
def test_expected_curve_is_of_the_training_and_of_the_metric(experiment):
    cfg = composed(experiment)
    for epoch, value in (cfg.expected or {}).items():
        assert 1 <= epoch <= cfg.trainer.max_epochs
        assert 0 < value < (1 if "bidmc" not in experiment else 10)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_one_training_step_of_a_small_model(experiment):
    """Smaller in width, depth, state and length only."""
    cfg = composed(experiment).copy()
    assert cfg.optimizer.keys() <= OPTIMIZER_KEYS  # a misspelt one would change nothing
    cfg.model.d_model, cfg.model.n_layers = 16, 1
    cfg.model.layer.d_state = 2 * cfg.model.layer.get("n_blocks", 2)
    data = build(cfg.data)
    spec = replace(data.spec, max_length=64)
    task = build_task(cfg, spec)
    optimizer = task.algorithm(task.groups())
    schedule = task.scheduler(optimizer, Horizon(cfg.trainer.max_epochs, steps_per_epoch=1000, mode=task.mode))
    batch = random_batch(spec, data.batch_size)
    loss = LOSSES[spec.loss](task.model(batch.inputs, batch.lengths), batch.targets)
    loss.backward()
    optimizer.step()
    assert isinstance(schedule, LRScheduler)
    assert loss.isfinite()
    assert all(p.grad is not None and torch.isfinite(p).all() for p in task.model.parameters())


@pytest.mark.parametrize("experiment", CELLS)
def test_what_no_author_changes_stays_as_it_is(experiment):
    """Zero-order hold where the layer has a choice, Adam's own moments, and gradients that are not clipped."""
    cfg = composed(experiment)
    assert cfg.model.layer.get("discretization", "zoh") == "zoh"
    assert (list(cfg.optimizer.algorithm.betas), cfg.optimizer.algorithm.eps) == ([0.9, 0.999], 1e-8)
    assert cfg.trainer.gradient_clip_val is None
