"""Small dense systems on the CPU, in Numba: features innermost, a slice of them as wide as a vector register.

A task is one sequence and one slice, both directions. What it needs again and again lies in arrays on its stack: the
compiler sees that nothing else writes there, and with all sizes known - the states' number is the length of a tuple -
it unrolls the small loops and keeps what it can in registers. The backward pass starts from states kept every `_STEPS`
steps and runs through each such chunk again.
"""

from math import prod

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor
from torch.nn.functional import pad

from longrange.kernels.numba_tools import arrays, inline, parallel

LARGEST = 8  # states
_WIDTH = 16  # features of a slice
_STEPS = 32  # of a chunk: its states and their gradients stay in the first-level cache
_MATRICES = LARGEST * LARGEST * _WIDTH
_STATES = (_STEPS + 1) * LARGEST * _WIDTH


def scan_forward(A: Tensor, B: Tensor, C: Tensor, u: Tensor, bidirectional: bool) -> tuple[Tensor, Tensor]:
    """Outputs, and the states at the start of every chunk.

    Args:
        A: (N, N, H).
        B: (N, H).
        C: (D M, N, H) for D directions.
        u: (B, L, H).
        bidirectional: D = 2.
    Returns:
        (B, L, M, H), and (B, D, chunks, N, H') with H' features in whole slices.
    """
    D = 2 if bidirectional else 1
    A, B, C, padded = (_whole_slices(t) for t in (A, B, C, u))
    batch, L, H = padded.shape
    y = u.new_empty(batch, L, len(C) // D, H)
    checkpoints = u.new_empty(batch, D, -(-L // _STEPS), len(B), H)
    _forward(_axes(B), *arrays(A, B, C, padded, y, checkpoints))
    return y[..., : u.shape[-1]], checkpoints


def scan_backward(
    A: Tensor, B: Tensor, C: Tensor, u: Tensor, checkpoints: Tensor, grad_y: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of the outputs of `scan_forward`, in the shapes of A, B, C and u."""
    H = u.shape[-1]
    tensors = A, B, C, u = tuple(_whole_slices(t) for t in (A, B, C, u))
    shared = [t.new_zeros(len(u), *t.shape) for t in (A, B, C)]
    grad_u = torch.empty_like(u)
    _backward(_axes(B), *arrays(*tensors, checkpoints, _whole_slices(grad_y), *shared, grad_u))
    grad_A, grad_B, grad_C = (t.sum(0)[..., :H] for t in shared)
    return grad_A, grad_B, grad_C, grad_u[..., :H]
