"""Hyperparameters as flat names, and which of them differ between runs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from longrange.overrides import NO_HYPERPARAMETERS, is_within

_LEFT_OUT = NO_HYPERPARAMETERS | {"name"}
_HOW_IT_IS_BUILT = ("._partial_", "._convert_", "._recursive_")


def settings(config: Mapping[str, Any]) -> dict[str, str]:
    """The hyperparameters of a run's configuration.

    Args:
        config: nested.
    Returns:
        By dotted name, as text; a class or function by its own name, under the name of what it makes.
    """
    flat = {
        name: text
        for name, text in _flat(config)
        if not is_within(name, _LEFT_OUT) and not name.endswith(_HOW_IT_IS_BUILT)
    }
    return {name.removesuffix("._target_"): _bare(name, text) for name, text in flat.items()}


def differences(runs: Sequence[Mapping[str, str]]) -> list[tuple[str, ...]]:
    """The hyperparameters that are not the same in all runs.

    Args:
        runs: of each its settings.
    Returns:
        Names that agree with each other in every run stand together, the shortest first.
    """
    groups: dict[tuple, list[str]] = {}
    for name in dict.fromkeys(name for run in runs for name in run):
        groups.setdefault(tuple(run.get(name) for run in runs), []).append(name)
    return [
        tuple(sorted(names, key=lambda name: (name.count("."), names.index(name))))
        for values, names in groups.items()
        if len(set(values)) > 1
    ]


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, child in value.items():
            yield from _flat(child, f"{name}.{key}" if name else str(key))
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, default=str)


def _bare(name: str, text: str) -> str:
    return text.rpartition(".")[2] if name.endswith("_target_") else text
