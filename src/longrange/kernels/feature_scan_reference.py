"""Small dense systems, one per feature, as a plain loop over time: obviously right, differentiated by autograd."""

import torch
from torch import Tensor


def feature_scan_reference(A: Tensor, B: Tensor, C: Tensor, u: Tensor, bidirectional: bool) -> Tensor:
    """As `feature_scan`; shapes as there."""
    if not bidirectional:
        return _outputs(C, _states(A, B, u))
    forwards, backwards = C.chunk(2)
    later = _states(A, B, u.flip(1)).flip(1)[:, 1:]  # x of the reversed sequence; each output reads the step after it
    later = torch.cat([later, torch.zeros_like(u[:, :1, :, None]).expand(-1, -1, -1, B.shape[-1])], dim=1)
    return _outputs(forwards, _states(A, B, u)) + _outputs(backwards, later)


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
