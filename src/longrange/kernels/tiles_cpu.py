"""Tiles of some steps of a sequence, in Numba: what lies between their inputs and outputs stays in a core's own cache.

What is kept of a product for the backward pass, an array z, says of which type its factors are: float32, or bfloat16
in pairs. Tiles of the latter have twice as many steps.

In a backward pass a task is a number of tiles, and sums are those of a task: they do not depend on the number of
threads.
"""

from torch import Tensor

from longrange.kernels.numba_tools import aligned, inline, llvm_inline, tiles_of_a_task

_BYTES = 512  # of one feature of a tile's steps in z: 128 in float32, 256 in bfloat16


def sums_of_tasks(z: Tensor, *like: Tensor) -> tuple[int, list[Tensor]]:
    """How many tiles of z, (B, L, N), are one task; and where each task leaves its sums, which are as `like`."""
    tiles = len(z) * -(-z.shape[1] // (_BYTES // z.itemsize))
    share = tiles_of_a_task(tiles)
    return share, [t.new_empty(-(-tiles // share), *t.shape) for t in like]


@inline
def tiles_of(z):
    """Of all sequences."""
    steps = _BYTES // z.itemsize
    return len(z) * ((z.shape[1] + steps - 1) // steps)


@llvm_inline
def tile(k, z):
    """The sequence of a tile, counted over all of them, and its steps: from which one to which."""
    steps, length = _BYTES // z.itemsize, z.shape[1]
    tiles = (length + steps - 1) // steps
    i, start = k // tiles, k % tiles * steps
    return i, start, min(start + steps, length)


@llvm_inline
def rows(like, z, width):
    """Memory for so many features of a tile's steps, of the type of `like`."""
    steps = _BYTES // z.itemsize
    return aligned(like, steps * width).reshape((steps, width))


@inline
def copy(source, out):
    """A row of features."""
    for n in range(len(out)):
        out[n] = source[n]
