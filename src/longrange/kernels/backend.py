"""The one setting that decides which version of every kernel runs, and the one place that reads it."""

import os
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Literal, get_args

import torch

from longrange.errors import ConfigError

Backend = Literal["auto", "reference", "cpu", "triton"]

_selected: str = "auto"


def select(backend: str) -> None:
    """Choose the version for the whole process, until chosen again.

    Args:
        backend: "auto" (the fastest there is for the tensors' device), "reference" (plain torch, any device), "cpu"
            (Numba and oneDNN, CPU only), or "triton" (CUDA; the CPU in Triton's interpreter).
    Raises:
        ConfigError: an unknown backend.
    """
    global _selected
    if backend not in get_args(Backend):
        raise ConfigError(f"backend={backend}: unknown; one of {', '.join(get_args(Backend))}")
    _selected = backend


def resolve(device: torch.device) -> str:
    """The version that runs on `device`: "reference", "cpu" or "triton".

    Triton itself is imported by the first kernel that runs, not here. What torch.compile traces is always plain torch,
    which it fuses by itself; layers keep their state-space maths out of what is traced.

    Raises:
        ConfigError: the selected version cannot run there.
    """
    if torch.compiler.is_compiling():
        return "reference"
    if _selected == "auto":
        return _fastest(device)
    if _selected == "cpu" and device.type != "cpu":
        raise ConfigError(f"backend=cpu: the tensors are on {device}; use backend=auto")
    if _selected == "triton":
        _check_triton(device)
    return _selected


def triton_version(name: str) -> ModuleType:
    """The Triton version of a module of kernels, imported late: Triton may not be installed."""
    return import_module(f"longrange.kernels.{name}_triton")


def _fastest(device: torch.device) -> str:
    if device.type == "cpu":
        return "cpu"
    return "triton" if device.type == "cuda" and _has_triton() else "reference"


def _check_triton(device: torch.device) -> None:
    if not _has_triton():
        raise ConfigError("backend=triton: Triton is missing; pip install triton, or use backend=auto")
    interpreted = device.type == "cpu" and os.environ.get("TRITON_INTERPRET") == "1"
    if device.type != "cuda" and not interpreted:
        raise ConfigError(f"backend=triton: the tensors are on {device}; use backend=auto")


def _has_triton() -> bool:
    return find_spec("triton") is not None
