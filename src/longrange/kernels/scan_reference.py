"""The linear recurrence as a plain loop: slow, obviously right, differentiated by autograd."""

import torch
from torch import Tensor


def diagonal_scan_reference(A_bar: Tensor, Bu: Tensor, initial: Tensor, bidirectional: bool) -> Tensor:
    """x_k = A_bar x_{k-1} + Bu_k, forwards, and where `bidirectional` backwards too.

    Args:
        A_bar: (2, P) real and imaginary parts of the diagonal.
        Bu: (B, L, 2, P) inputs of the recurrence.
        initial: (B, D, 2, P) states before the first step of each direction.
        bidirectional: D = 2 directions instead of 1.
    Returns:
        (B, L, D, 2, P) states; direction 1 holds x_k = A_bar x_{k+1} + Bu_k.
    """
    a = torch.complex(A_bar[0], A_bar[1])
    b = torch.complex(Bu[:, :, 0], Bu[:, :, 1])
    start = torch.complex(initial[:, :, 0], initial[:, :, 1])
    states = [_loop(a, b, start[:, 0])]
    if bidirectional:
        states.append(_loop(a, b.flip(1), start[:, 1]).flip(1))
    x = torch.stack(states, dim=2)
    return torch.stack([x.real, x.imag], dim=3)


def _loop(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    states = []
    for b_k in b.unbind(dim=1):
        x = a * x + b_k
        states.append(x)
    return torch.stack(states, dim=1)
