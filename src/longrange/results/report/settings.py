"""Hyperparameters as flat names, and which of them differ between runs."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Where files lie and what watches a run are no hyperparameters.
_NO_SETTING = re.compile(
    r"(name|paths|logger|callbacks|launcher|resume)(\..*)?"
    r"|data\.(data_dir|cache_dir|download|num_workers)|trainer\.default_root_dir|.*\._(partial|convert|recursive)_"
)


def settings(config: Mapping[str, Any]) -> dict[str, str]:
    """The hyperparameters of a run's configuration.

    Args:
        config: nested.
    Returns:
        By dotted name, as text; a class or function by its own name, under the name of what it makes.
    """
    flat = {name: text for name, text in _flat(config) if not _NO_SETTING.fullmatch(name)}
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
