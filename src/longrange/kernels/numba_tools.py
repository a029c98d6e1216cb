"""What the Numba kernels share: compilation flags, threads, arrays, and a vectorised logistic function.

Innermost loops run from zero over slices of one row: an index that cannot be negative is what lets the compiler use
vector instructions.
"""

from contextlib import suppress
from glob import escape
from pathlib import Path

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from torch import Tensor

from longrange.kernels.vectors import rounded, widened

# Fused multiply-adds are allowed; assumptions that would hide a NaN are not. A division by zero gives what numpy gives:
# raising an error would keep loops from vector instructions.
_FLAGS = {"fastmath": {"contract", "reassoc"}, "error_model": "numpy", "cache": True, "nogil": True}
parallel = numba.njit(parallel=True, **_FLAGS)
sequential = numba.njit(**_FLAGS)
inline = numba.njit(inline="always", **_FLAGS)
_INTERNAL = _FLAGS | {"cache": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
internal = numba.njit(**_INTERNAL)  # for kernels alone, not for Python: quicker to compile
llvm_inline = numba.njit(forceinline=True, **_INTERNAL)  # as `inline`, but by LLVM: quicker again

_LOG2_E = np.float32(1.4426950408889634)
_LN2_HIGH = np.float32(0.693359375)  # ln 2 in two parts, so that n ln 2 is exact for the n that occur
_LN2_LOW = np.float32(-2.1219444e-4)
_ONE = np.float32(1)


def arrays(*tensors: Tensor) -> list[np.ndarray]:
    """The tensors as contiguous arrays, after telling Numba to use as many threads as torch does.

    Numba has no bfloat16: its arrays are whole numbers of 16 bits, which `wide` reads and `narrowed` writes.
    """
    threads = torch.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    if torch.get_num_threads() != threads:  # Numba's first call sets the number for the OpenMP pool that both share
        torch.set_num_threads(threads)
    return [_array(t.detach().contiguous()) for t in tensors]


def _array(t: Tensor) -> np.ndarray:
    return (t.view(torch.uint16) if t.dtype == torch.bfloat16 else t).numpy()


def tiles_of_a_task(tiles: int) -> int:
    """How many of all tiles are one task, which has sums of its own; on every machine the same, as sums depend on it.

    Tasks are enough for a large machine's cores, and no more than that: their sums cost less than their work.
    """
    return min(max(tiles // 64, 4), 16)


def one_step(x: Tensor) -> Tensor:
    """x, (..., L, H), as (..., 1, H) where all steps are the same memory, as in the gradient of a mean over time."""
    return x[..., :1, :] if x.stride(-2) == 0 else x


def forget_outdated(sources: Path, compiled: Path) -> None:
    """Remove what Numba keeps of functions that were compiled before the newest file of a folder was written.

    Numba compares the file of a function alone, but functions of other files are compiled into it.

    Args:
        sources: folder of Python files.
        compiled: folder where Numba keeps what it has compiled of them.
    """
    newest = max(file.stat().st_mtime for file in sources.glob("*.py"))
    for index in compiled.glob("*.nbi"):
        with suppress(OSError):  # another process was faster, or the folder is read-only
            if index.stat().st_mtime < newest:
                index.unlink()
                for code in compiled.glob(f"{escape(index.stem)}.*.nbc"):
                    code.unlink()


@llvm_inline
def aligned(like, size):
    """An uninitialised flat array of the type of `like`, at the start of a cache line: no register lies across two."""
    memory = np.empty(size + 64 // like.itemsize, like.dtype)
    return memory[-memory.ctypes.data % 64 // like.itemsize :][:size]


@intrinsic
def wide(typing_context, x):
    """A value of an array: a float as it is, the bits of a bfloat16 as float32."""
    if isinstance(x, types.Float):
        return x(x), lambda context, builder, signature, arguments: arguments[0]

    return types.float32(x), lambda context, builder, signature, arguments: widened(builder, arguments[0])


@intrinsic
def narrowed(typing_context, array, value):
    """A float as an array takes it: as it is, or the bits of the nearest bfloat16, of the even one halfway.

    Such bits stay what they are.
    """
    if isinstance(array.dtype, types.Float) or isinstance(value, types.Integer):
        return value(array, value), lambda context, builder, signature, arguments: arguments[1]

    return types.uint16(array, value), lambda context, builder, signature, arguments: rounded(builder, arguments[1])


@intrinsic
def _power_of_two(typing_context, exponent):
    """2^n for a whole float32 n within the exponent range, by writing the exponent's bits."""

    def generate(context, builder, signature, arguments):
        int32 = ir.IntType(32)
        biased = builder.add(builder.fptosi(arguments[0], int32), int32(127))
        return builder.bitcast(builder.shl(biased, int32(23)), ir.FloatType())

    return types.float32(types.float32), generate


@inline
def exp(x):
    """e^x for float32 x in [-87, 88], clipped to it; relative error about 1e-7. NaN stays NaN."""
    x = np.float32(88) if x > np.float32(88) else x
    x = np.float32(-87) if x < np.float32(-87) else x
    n = np.floor(x * _LOG2_E + np.float32(0.5))
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = np.float32(1 / 5040)
    p = p * r + np.float32(1 / 720)
    p = p * r + np.float32(1 / 120)
    p = p * r + np.float32(1 / 24)
    p = p * r + np.float32(1 / 6)
    p = p * r + np.float32(0.5)
    p = p * r + _ONE
    p = p * r + _ONE
    return p * _power_of_two(n)


@inline
def logistic(x):
    """1 / (1 + e^-x) for float32."""
    return _ONE / (_ONE + exp(-x))


@inline
def logistic_and_slope(x):
    """1 / (1 + e^-x) and its derivative for float32, without cancellation where the first is near one."""
    e = exp(-x)
    s = _ONE / (_ONE + e)
    return s, e * s * s


forget_outdated(Path(__file__).parent, Path(exp.stats.cache_path))
