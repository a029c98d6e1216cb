"""The one setting that decides which version of every kernel runs, and the one place that reads it."""

from typing import Literal, get_args

import torch

from longrange.errors import ConfigError, nearest

Backend = Literal["auto", "reference", "cpu"]

_selected: str = "auto"


def select(backend: str) -> None:
    """Choose the version for the whole process, until chosen again.

    Args:
        backend: "auto" (the fastest there is for the tensors' device), "reference" (plain torch, any device), or
            "cpu" (Numba and oneDNN, CPU only).
    Raises:
        ConfigError: an unknown backend.
    """
    global _selected
    if backend not in get_args(Backend):
        raise ConfigError(f"backend={backend}: unknown; one of {', '.join(nearest(backend, get_args(Backend)))}")
    _selected = backend


def resolve(device: torch.device) -> str:
    """The version that runs on `device`: "reference" or "cpu".

    Raises:
        ConfigError: the selected version cannot run there.
    """
    if _selected == "auto":
        return "cpu" if device.type == "cpu" else "reference"
    if _selected == "cpu" and device.type != "cpu":
        raise ConfigError(f"backend=cpu: the tensors are on {device}; use backend=auto")
    return _selected
