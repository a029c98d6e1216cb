"""Between rows of features and rows of time steps, for a slice of features a vector register wide, in Numba."""

from torch import Tensor
from torch.nn.functional import pad

from longrange.kernels.numba_tools import internal, llvm_inline
from longrange.kernels.vectors import LANES, transpose


def whole_slices(x: Tensor, axis: int) -> Tensor:
    """x with zeros after its last feature up to a multiple of LANES; axis, counted from the end, is the features'."""
    missing = -x.shape[axis] % LANES
    return pad(x, (0, 0) * (-axis - 1) + (0, missing)) if missing else x


@llvm_inline
def steps_of(z):
    """The memory of a transform as a period of steps, (n, LANES), of the type that slices of larger arrays have."""
    return z.reshape(len(z) // LANES, LANES)[:, :LANES]


@internal
def to_steps(rows, steps, scale):
    """The first steps of rows (LANES, any length), times a factor."""
    count = len(steps)
    whole = count - count % LANES
    for t in range(0, whole, LANES):
        transpose(rows[:, t : t + LANES], steps[t : t + LANES], scale)
    for t in range(whole, count):
        for c in range(LANES):
            steps[t, c] = rows[c, t] * scale


@internal
def to_features(steps, rows, scale):
    """What `to_steps` does, transposed: zeros after the first steps."""
    count = len(steps)
    whole = count - count % LANES
    for t in range(0, whole, LANES):
        transpose(steps[t : t + LANES], rows[:, t : t + LANES], scale)
    for t in range(whole, count):
        for c in range(LANES):
            rows[c, t] = steps[t, c] * scale
    rows[:, count:] = 0
