"""Numbers as the page writes them; empty for None."""

from collections.abc import Mapping
from typing import Any

from longrange.results.rows import run_device


def score(value: float | None, metric: str) -> str:
    """A metric: accuracy in percent, everything else as it is."""
    if value is None:
        return ""
    return f"{100 * value:.2f}%" if metric == "accuracy" else f"{value:.4g}"


def duration(seconds: float | None) -> str:
    """E.g. "45 s", "12.5 min", "3.1 h"."""
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def count(value: float | None) -> str:
    """With thousands apart."""
    return "" if value is None else f"{value:,.0f}"


def device(hardware: Mapping[str, Any] | None, config: Mapping[str, Any]) -> str:
    """What computed a run: the GPU where the trainer used one, else the processor."""
    trainer = config.get("trainer")
    accelerator = trainer.get("accelerator") if isinstance(trainer, dict) else None
    return run_device(hardware, accelerator) if hardware else ""


def commit(name: str | None, dirty: bool | None) -> str:
    """Its first digits, and whether the code differed from it."""
    return "" if name is None else f"{name[:8]}{', changed' if dirty else ''}"


def moment(finished: str | None) -> str:
    """Date and time to the minute, of a record's `finished`."""
    return "" if finished is None else finished[:16].replace("T", " ")
