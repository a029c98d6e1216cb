"""Tiles of some steps of a sequence, in Numba: what lies between their inputs and outputs stays in a core's own cache.

In a backward pass a task is a number of tiles, and sums are those of a task: they do not depend on the number of
threads.
"""

from torch import Tensor

from longrange.kernels.numba_tools import aligned, inline, llvm_inline, tiles_of_a_task

TILE = 128  # steps


def sums_of_tasks(x: Tensor, *like: Tensor) -> tuple[int, list[Tensor]]:
    """How many tiles of x, (B, L, H), are one task; and where each task leaves its sums, which are as `like`."""
    tiles = len(x) * -(-x.shape[1] // TILE)
    share = tiles_of_a_task(tiles)
    return share, [t.new_empty(-(-tiles // share), *t.shape) for t in like]


@inline
def tiles_of(x):
    """Of all sequences."""
    return len(x) * ((x.shape[1] + TILE - 1) // TILE)


@llvm_inline
def tile(k, length):
    """The sequence of a tile, counted over all of them, and its steps: from which one to which."""
    tiles = (length + TILE - 1) // TILE
    i, start = k // tiles, k % tiles * TILE
    return i, start, min(start + TILE, length)


@llvm_inline
def rows(like, width):
    """Memory for so many features of a tile's steps."""
    return aligned(like, TILE * width).reshape((TILE, width))


@inline
def copy(source, out):
    """A row of features."""
    for n in range(len(out)):
        out[n] = source[n]
