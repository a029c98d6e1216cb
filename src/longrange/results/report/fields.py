"""What a run record must hold for the page to show it; everything else in it may be missing."""

from collections.abc import Mapping
from typing import Any

REQUIRED = {"task": str, "model": str, "seed": int, "metric": str, "metrics": dict, "config": dict}
OPTIONAL = {
    "experiment": str,
    "pretrain": str,
    "pretraining": dict,
    "finished": str,
    "commit": str,
    "dirty": bool,
    "versions": dict,
    "hardware": dict,
    "best_epoch": int,
    "epochs": int,
    "n_parameters": int,
    "protocol": str,
    "baseline": float,
    "precision": str,
    "backend": str,
    "wall_s": float,
    "samples_per_s": float,
    "peak_memory_bytes": float,
    "resumed_from": str,
    "confusion": dict,
}
_BEYOND_FLOAT32 = 3.5e38
_WORDS = {str: "text", int: "a whole number", float: "a number", dict: "an object", bool: "true or false"}


def checked(record: Any) -> dict[str, Any]:
    """The fields of a record that the page shows, each of its kind; missing ones are None.

    Args:
        record: what a `result.json` holds.
    Raises:
        ValueError: it is no run record; says why.
    """
    if not isinstance(record, dict):
        raise ValueError("holds no object")
    for key in REQUIRED:
        if record.get(key) is None:
            raise ValueError(f"no {key}, so not written by scripts/train.py")
    fields = {key: _of_kind(key, record.get(key), kind) for key, kind in (REQUIRED | OPTIONAL).items()}
    fields["metrics"] = {
        str(split): {str(name): number(value) for name, value in _of_kind(f"metrics.{split}", scores, dict).items()}
        for split, scores in fields["metrics"].items()
    }
    fields["confusion"] = _confusion(fields["confusion"])
    return fields


def known(**fields: Any) -> dict[str, Any]:
    """The same of a run without a record: some fields, all others None."""
    return dict.fromkeys(REQUIRED | OPTIONAL) | fields


def number(value: Any) -> float | None:
    """The value as a number that float32 can hold, as all measured ones are; None where it is none."""
    try:
        converted = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return converted if abs(converted) < _BEYOND_FLOAT32 else None


def _of_kind(key: str, value: Any, kind: type) -> Any:
    if value is None and key in OPTIONAL:
        return None
    if kind is float and isinstance(value, int | float):
        return number(value)
    if not isinstance(value, kind) or (kind is int and abs(value) > 2**63):
        raise ValueError(f"{key} is not {_WORDS[kind]}")
    return value


def _confusion(found: Mapping[str, Any] | None) -> dict[str, list] | None:
    """Class names and a square of counts."""
    if found is None:
        return None
    names, counts = found.get("classes"), found.get("counts")
    square = (
        isinstance(names, list)
        and isinstance(counts, list)
        and len(counts) == len(names)
        and all(isinstance(row, list) and len(row) == len(names) for row in counts)
        and all(isinstance(count, int) and 0 <= count < 2**63 for row in counts for count in row)
    )
    if not square:
        raise ValueError("confusion is not a name and a row of counts for each class")
    return {"classes": [str(name) for name in names], "counts": counts}
