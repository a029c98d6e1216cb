"""A search space: which keys of a configuration vary, over what, and how a point in it is written on a command line."""

import json
import re
from collections.abc import Mapping
from typing import Any

from optuna import Trial
from optuna.distributions import (
    BaseDistribution,
    CategoricalChoiceType,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from longrange.errors import ConfigError

Space = dict[str, BaseDistribution]

_FORMS = "{float: [low, high], log: true}, {int: [low, high], step: 1} or {choices: [...]}"
_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")  # strings that a command line takes as they are
_WORDS = {"true", "false", "null", "nan", "inf", "on", "off", "yes", "no"}


def read_space(space: Mapping[str, Mapping[str, Any]]) -> Space:
    """The distributions of a space written in YAML.

    Args:
        space: per key or group of the configuration, one of
            {"float": [low, high], "log": bool, "step": float}, log and step are optional and exclude each other;
            {"int": [low, high], "log": bool, "step": int}, likewise; {"choices": [...]} of numbers, words, booleans.
    Raises:
        ConfigError: it is empty, or says something else.
    """
    if not space:
        raise ConfigError("search.space is empty: name at least one key to vary")
    return {name: _distribution(name, given) for name, given in space.items()}


def suggest(trial: Trial, space: Space) -> dict[str, CategoricalChoiceType]:
    """The trial's point, drawn where it has none yet."""
    return {name: _suggest(trial, name, distribution) for name, distribution in space.items()}


def as_override(name: str, value: CategoricalChoiceType) -> str:
    """`name=value` as it would stand on the command line."""
    return f"{name}={_text(value)}"


def shown(params: Mapping[str, CategoricalChoiceType], between: str = " ") -> str:
    """A point for people: floats to four digits.

    Args:
        params: the point.
        between: what stands between two values.
    """
    rounded = {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in params.items()}
    return between.join(as_override(name, value) for name, value in rounded.items())


def corners(distribution: BaseDistribution) -> list[CategoricalChoiceType]:
    """The values to try out before a search: all choices, or both ends of a range."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    return [distribution.low, distribution.high]


def _distribution(name: str, given: Any) -> BaseDistribution:
    try:
        match given:
            case {"choices": [_, *_] as choices} if len(given) == 1:
                if not all(isinstance(choice, str | int | float | bool | None) for choice in choices):
                    raise TypeError("choices are words, numbers, true, false or null")
                return CategoricalDistribution(choices)
            case {"float": [low, high], **how} if how.keys() <= {"log", "step"}:
                return FloatDistribution(low, high, **how)
            case {"int": [int(low), int(high)], **how} if how.keys() <= {"log", "step"}:
                return IntDistribution(low, high, **how)
        raise TypeError(f"must be {_FORMS}")
    except (TypeError, ValueError) as problem:
        raise ConfigError(f"search.space.{name}: {given}: {problem}") from problem


def _suggest(trial: Trial, name: str, over: BaseDistribution) -> CategoricalChoiceType:
    if isinstance(over, CategoricalDistribution):
        return trial.suggest_categorical(name, over.choices)
    if isinstance(over, IntDistribution):
        return trial.suggest_int(name, over.low, over.high, step=over.step, log=over.log)
    return trial.suggest_float(name, over.low, over.high, step=over.step, log=over.log)


def _text(value: CategoricalChoiceType) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
