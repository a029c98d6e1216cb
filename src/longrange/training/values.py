"""Types of a configuration's values, held against what the objects that it names take.

OmegaConf takes any value for any key, and a wrong one fails later and elsewhere. A constructor's annotations say what
it takes; parameters without one are left alone.
"""

import inspect
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from longrange.errors import ConfigError

# Keys that are no parameter of a constructor, or take more than it does, by pattern.
_OWN = {
    "seed": int,
    "epochs": int,
    "accumulate": int,
    "pretrain.epochs": int,
    "backend": str,
    "graphs": bool,
    "trainer.precision": Literal["tf32"],
    "resume": str | None,
    "save_every_s": float,
    "optimizer.*lr": float,
    "optimizer.*weight_decay": float,
    "optimizer.rules.*.patterns": list[str],
}
_NOT_NEGATIVE = (
    *("seed", "save_every_s", "optimizer.*lr", "optimizer.*weight_decay"),
    *("scheduler.gamma", "scheduler.patience", "scheduler.min_lr", "trainer.gradient_clip_val"),
)
_WORDS = {
    int: "a whole number",
    bool: "true or false",
    str: "text",
    Path: "a path",
    float: "a finite number",
    NoneType: "null",
}
_SEQUENCES = (list, Sequence, Collection, tuple)


def check_values(cfg: DictConfig, only: Collection[str] | None = None) -> None:
    """Refuse values of a type that what they are for does not take, and negative rates.

    Args:
        cfg: as composed from configs/train.yaml, resolved.
        only: keys to look at; all where None.
    Raises:
        ConfigError: names the first key, its value and what it must be.
    """
    for key, value, expected in _typed(OmegaConf.to_container(cfg)):
        if only is not None and key not in only:
            continue
        if not _fits(value, expected):
            raise ConfigError(f"{key}={'null' if value is None else value}: must be {_in_words(expected)}")
        if value is not None and any(fnmatchcase(key, pattern) for pattern in _NOT_NEGATIVE) and value < 0:
            raise ConfigError(f"{key}={value}: must not be negative")


def known_keys(cfg: DictConfig) -> set[str]:
    """The keys whose values `check_values` looks at."""
    return {key for key, _, _ in _typed(OmegaConf.to_container(cfg))}


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """All values within dictionaries and lists, with the key that they stand under."""
    if isinstance(node, dict | list):
        for inner, value in node.items() if isinstance(node, dict) else ((key, value) for value in node):
            yield from leaves(value, inner)
    else:
        yield key, node


def _typed(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Key, value and expected type of all values whose type is known."""
    hints = _parameters(node["_target_"]) if "_target_" in node else {}
    for name, value in node.items():
        key = f"{prefix}{name}"
        known = [expected for pattern, expected in _OWN.items() if fnmatchcase(key, pattern)]
        known = [Union[hints[name], *known]] if name in hints else known
        if isinstance(value, dict) and ("_target_" in value or not any(_is_plain(expected) for expected in known)):
            yield from _typed(value, f"{key}.")
        else:
            yield from ((key, value, expected) for expected in known)


def _parameters(target: Any) -> dict[str, Any]:
    """The annotated parameters of what a `_target_` names, and of the classes that it hands `**options` on to."""
    try:
        named = get_object(target)
        functions = [cls.__init__ for cls in reversed(named.__mro__)] if inspect.isclass(named) else [named]
        return {name: hint for function in functions for name, hint in get_type_hints(function).items()}
    except Exception:  # building it says what is wrong with the target
        return {}


def _is_plain(expected: Any) -> bool:
    """Whether no group of keys can be what is expected."""
    options = get_args(expected) if get_origin(expected) in (Union, UnionType) else [expected]
    return all(option in _WORDS or get_origin(option) in (*_SEQUENCES, Literal) for option in options)


def _fits(value: Any, expected: Any) -> bool:
    origin, arguments = get_origin(expected), get_args(expected)
    if origin in (Union, UnionType):
        return any(_fits(value, option) for option in arguments)
    if origin is Literal:
        return value in arguments
    if origin in _SEQUENCES:
        fixed = origin is tuple and Ellipsis not in arguments
        items = isinstance(value, list) and (not fixed or len(value) == len(arguments))
        return items and all(_fits(item, arguments[0]) for item in value)
    return _fits_plain(value, expected)


def _fits_plain(value: Any, expected: Any) -> bool:
    if isinstance(value, bool):
        return expected not in (int, float, str, NoneType)
    if expected is float:
        return isinstance(value, int | float) and math.isfinite(value)
    if expected is Path:
        return isinstance(value, str)
    if expected in (int, bool, str, NoneType):
        return isinstance(value, expected)
    return not (get_origin(expected) is Callable or is_dataclass(expected))  # these are nodes with keys of their own


def _in_words(expected: Any) -> str:
    origin, arguments = get_origin(expected), get_args(expected)
    if origin in (Union, UnionType):
        places = {option: place for place, option in enumerate(_WORDS)}
        # typing may keep float | int for int | float
        options = sorted(arguments, key=lambda option: places.get(option, 0))
        return " or ".join(dict.fromkeys(_in_words(option) for option in options))
    if origin is Literal:
        return " or ".join("null" if option is None else str(option) for option in arguments)
    if origin in _SEQUENCES:
        size = f"of {len(arguments)}" if origin is tuple and Ellipsis not in arguments else ""
        return f"a list {size}, each item {_in_words(arguments[0])}".replace(" ,", ",")
    if origin is Callable or is_dataclass(expected):
        return "a group of keys with a _target_"
    return _WORDS.get(expected, str(getattr(expected, "__name__", expected)))
