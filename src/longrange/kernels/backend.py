"""The one place that decides which version of a kernel runs."""

from typing import Literal, get_args

import torch

from longrange.errors import ConfigError, nearest

Backend = Literal["auto", "reference", "cpu"]


def resolve(backend: str, device: torch.device) -> str:
    """The version that `backend` means on `device`.

    Args:
        backend: "auto" (the fastest there is for the device), "reference" (plain torch, any device),
            or "cpu" (Numba, CPU only).
        device: where the tensors are.
    Returns:
        "reference" or "cpu".
    Raises:
        ConfigError: an unknown backend, or one that cannot run on the device.
    """
    if backend not in get_args(Backend):
        raise ConfigError(f"backend={backend}: unknown; one of {', '.join(nearest(backend, get_args(Backend)))}")
    if backend == "auto":
        return "cpu" if device.type == "cpu" else "reference"
    if backend == "cpu" and device.type != "cpu":
        raise ConfigError(f"backend=cpu: the tensors are on {device}; use backend=auto")
    return backend
