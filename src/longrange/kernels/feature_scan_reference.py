"""Small dense systems, one per feature, as a plain loop over time: obviously right, differentiated by autograd."""

import torch
from torch import Tensor


def feature_scan_reference(A: Tensor, B: Tensor, C: Tensor, D: Tensor, u: Tensor, bidirectional: bool) -> Tensor:
    """As `feature_scan`; shapes as there."""
    forwards, *backwards = C.unflatten(0, (1 + bidirectional, -1))
    y = _outputs(forwards, _states(A, B, u)) + D * u.unsqueeze(2)
    if not backwards:
        return y
    # Each output reads the state of the step after it; after the last one there is none.
    following = torch.cat([u[:, 1:], torch.zeros_like(u[:, :1])], dim=1)
    return y + _outputs(backwards[0], _states(A, B, following.flip(1)).flip(1))


def _states(A: Tensor, B: Tensor, u: Tensor) -> Tensor:
    """x_t = A x_{t-1} + B u_t, (B, L, H, N)."""
    x, states = torch.zeros_like(B), []
    for now in u.unbind(1):
        x = torch.einsum("hij,...hj->...hi", A, x) + B * now.unsqueeze(-1)
        states.append(x)
    return torch.stack(states, dim=1)


def _outputs(C: Tensor, x: Tensor) -> Tensor:
    """C x, (B, L, M, H)."""
    return torch.einsum("mhn,blhn->blmh", C, x)
