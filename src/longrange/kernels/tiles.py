"""Whether an activation takes its steps through all of its work tile by tile, or one function after the other."""

import torch
from torch import Tensor

from longrange.kernels import backend
from longrange.kernels.linear import is_amd, kernels_multiply, product_type
from longrange.kernels.vectors import LANES

_LEAST = 64  # steps of a sequence: of fewer, as in a recurrence, a tile would be mostly empty


def goes_in_tiles(x: Tensor, skip: Tensor, weight: Tensor, *others: Tensor | None) -> bool:
    """Whether there is a kernel for these types and sizes, and a processor on which it was measured to be faster.

    Args:
        x: the activation's input, (B, L, K); under autocast it may come from a product, in that one's precision.
        skip: what it is added to, (B, L, H); as x.
        weight: the product's matrix.
        others: bias and factors.
    """
    if backend.resolve(x.device) != "cpu" or not is_amd() or not kernels_multiply(product_type(weight)):
        return False
    single = all(t is None or t.dtype == torch.float32 for t in (weight, *others))
    single = single and all(t.dtype in (torch.float32, product_type(weight)) for t in (x, skip))
    whole = all(t.shape[-1] % LANES == 0 for t in (x, skip))
    return single and whole and x.dim() == 3 and x.shape[1] >= _LEAST
