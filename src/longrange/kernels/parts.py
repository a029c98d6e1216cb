"""Complex values in the form that kernels take: real and imaginary parts along a first axis of their own."""

import torch
from torch import Tensor


def parts(z: Tensor) -> Tensor:
    """(...) complex to (2, ...) real: real parts, imaginary parts."""
    return torch.view_as_real(z.resolve_conj()).movedim(-1, 0).contiguous()
