"""Diagonal plus low-rank systems for tests, and their kernels by plain repeated steps."""

import numpy as np
import torch

from longrange.ssm import BilinearDPLR
from tests.paths import GOLDEN


def golden_system(i):
    """The arrays of one golden file as float64 and complex128 tensors; dt is (H,), B is (H, N/2)."""
    arrays = {name: value for name, value in np.load(GOLDEN / f"s4_dplr_{i}.npz").items() if name != "measure"}
    wide = {name: torch.from_numpy(value) for name, value in arrays.items() if value.ndim}
    wide = {name: value.to(torch.complex128 if value.is_complex() else torch.float64) for name, value in wide.items()}
    return wide | {"dt": wide["dt"][:, 0], "B": wide["B"][0], "L": int(arrays["L"]), "rate": float(arrays["rate"])}


def random_system(H, half, R, M=1, seed=0):
    """Stable Lambda (H, half), P (R, H, half), B (H, half), C (M, H, half) and dt (H,), all wanting gradients."""
    draw = torch.Generator().manual_seed(seed)
    uniform = torch.rand(3, H, half, generator=draw, dtype=torch.float64)
    Lambda = torch.complex(-0.1 - uniform[0], -10 * uniform[1])
    dt = 10 ** (-2 + 2 * uniform[2, :, 0])
    P, B, C = (torch.randn(*n, H, half, generator=draw, dtype=torch.complex128) for n in ((R,), (), (M,)))
    return [t.requires_grad_() for t in (Lambda, P, B, C, dt)]


def kernel_by_steps(Lambda, P, B, C, dt, L):
    """K_l = 2 Re C A_bar^l B_bar, (M, H, L), one step at a time."""
    system = BilinearDPLR(Lambda, P, dt)
    x, values = system.input(B), []
    for _ in range(L):
        values.append(2 * (C * x).sum(-1).real)
        x = system.apply(x)
    return torch.stack(values, dim=-1)
