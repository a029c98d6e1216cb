"""Which parameter trains at which learning rate and weight decay: named rules over parameter names.

State-space models train their dynamics more slowly than the rest and without weight decay. A rule names the
parameters it takes by shell patterns, and the first rule that matches a parameter takes it. The option sets of the
published models are files of such rules in configs/optimizer.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import nn

from longrange.errors import ConfigError

_OUTPUT_WEIGHTS = ".C", ".D"  # of every layer; they may train as the linear maps around it do


@dataclass(frozen=True)
class Rule:
    """One group of parameters.

    Attributes:
        name: of the group, as printed and logged.
        patterns: shell patterns over full parameter names, e.g. "*.layer.log_step".
        lr: peak learning rate; the schedule scales it.
        weight_decay: AdamW's decoupled decay, per unit of learning rate.

    Raises:
        ConfigError: a negative rate or decay.
    """

    name: str
    patterns: Sequence[str]
    lr: float
    weight_decay: float

    def __post_init__(self):
        for key in ("lr", "weight_decay"):
            if getattr(self, key) < 0:
                raise ConfigError(f"optimizer.rules.{self.name}.{key}={getattr(self, key)}: must not be negative")

    def matches(self, parameter_name: str) -> bool:
        """Whether any of the patterns fits, upper and lower case apart."""
        return any(fnmatchcase(parameter_name, pattern) for pattern in self.patterns)


def rules_from(config: Mapping[str, Mapping[str, Any]]) -> list[Rule]:
    """The rules of an optimizer config: group name -> patterns, lr, weight_decay, in the order they are tried."""
    return [Rule(name, **fields) for name, fields in config.items()]


def parameter_groups(named_parameters: Iterable[tuple[str, nn.Parameter]], rules: Sequence[Rule]) -> list[dict]:
    """Sort a model's trainable parameters into optimiser groups, each into exactly one.

    Args:
        named_parameters: as from `model.named_parameters()`; frozen ones are left out.
        rules: tried in order, the first that matches takes the parameter.
    Returns:
        One dict for each rule, in the rules' order: "name", "params" (a list of (name, parameter)), "lr" and
        "weight_decay", as torch optimisers take them.
    Raises:
        ConfigError: a parameter that no rule matches, a rule that is left without parameters, or rules for the dynamics
            of another layer.
    """
    groups = [{"name": rule.name, "params": [], "lr": rule.lr, "weight_decay": rule.weight_decay} for rule in rules]
    for name, parameter in named_parameters:
        if parameter.requires_grad:
            groups[_first_match(name, rules)]["params"].append((name, parameter))
    for rule, group in zip(rules, groups, strict=True):
        if not group["params"]:
            raise ConfigError(
                f"optimizer rule '{rule.name}' takes no parameter of this model "
                f"(patterns {', '.join(rule.patterns)}); choose an option set that fits the model"
            )
    _check_dynamics([name for group in groups for name, _ in group["params"]], rules)
    return groups


def _check_dynamics(names: Sequence[str], rules: Sequence[Rule]) -> None:
    """All that is a layer's own and no output weight must be named by rules that name parts of a layer at all."""
    patterns = [pattern for rule in rules for pattern in rule.patterns if ".layer." in pattern]
    unused = [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in names)]
    inner = [name for name in names if ".layer." in name and not name.endswith(_OUTPUT_WEIGHTS)]
    if unused and (others := [n for n in inner if not any(fnmatchcase(n, pattern) for pattern in patterns)]):
        raise ConfigError(
            f"optimizer rules for {', '.join(unused)} take nothing, and {', '.join(_without_numbers(others))} would "
            "train as the rest: these are rules for another layer; choose optimizer=s4 for S4 and S4D, lssl for LSSL, "
            "s5_standard for S5"
        )


def _first_match(name: str, rules: Sequence[Rule]) -> int:
    for index, rule in enumerate(rules):
        if rule.matches(name):
            return index
    raise ConfigError(f"no optimizer rule covers parameter {name}; let the patterns of the last rule match '*'")


def _without_numbers(names: Iterable[str]) -> list[str]:
    """Each name once, the same for all blocks: "blocks.*.layer.B"."""
    return list(dict.fromkeys(re.sub(r"\.\d+\.", ".*.", name) for name in names))


def groups_table(groups: Sequence[dict]) -> Table:
    """What trains how, for people: one row per group, with its size and a few of its parameters; 80 characters wide."""
    style = {"box": SIMPLE_HEAD, "show_edge": False, "padding": (0, 1, 0, 0), "title_justify": "left"}
    headings = ("group", "lr", "weight\ndecay", "tensors", "parameters")
    table = Table(*headings, title="Optimizer groups", **style)
    table.add_column("for example", overflow="fold")
    for group in groups:
        names, parameters = zip(*group["params"], strict=True)
        table.add_row(
            group["name"],
            f"{group['lr']:g}",
            f"{group['weight_decay']:g}",
            str(len(parameters)),
            f"{sum(parameter.numel() for parameter in parameters):,}",
            "\n".join(_without_numbers(names)[:4]),
        )
    return table
