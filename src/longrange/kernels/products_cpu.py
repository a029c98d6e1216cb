"""Matrix products within a kernel, in Numba on the CPU: of matrices that lie in its caches anyhow.

A block of sums stays in vector registers while its factors pass by: some rows of the one, some registers of the other.
A matrix in panels has what a register takes of neighbouring rows side by side: where rows are a power of two apart, as
most sizes of models are, the cache's few places for such addresses would soon be taken.
"""

from itertools import product

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features, initialize_native_asmparser
from numba.core import cgutils, types
from numba.extending import intrinsic
from torch import Tensor

from longrange.kernels.numba_tools import llvm_inline
from longrange.kernels.vectors import (
    LANES,
    build_broadcast,
    build_load_from,
    build_place,
    build_store_to,
    build_vector_place,
)

_IS_WIDE = get_host_cpu_features().get("avx512f", False)  # 32 registers of LANES float32, else 16 of half as many
_ROW, _ROWS, _REGISTERS = (0,), (0,) * (8 if _IS_WIDE else 4), (0,) * (2 if _IS_WIDE else 1)  # of a block

initialize_native_asmparser()  # LLVM's own name for the product of pairs differs from version to version


def panels(matrix: Tensor) -> Tensor:
    """(K, N), N in whole registers, as panels (N / LANES, K, LANES)."""
    return matrix.unflatten(1, (-1, LANES)).transpose(0, 1)


@llvm_inline
def add_matrix_product(a, b, out):
    """out += a b, (M, K) times (K, N) to (M, N), N in whole registers; b may be in panels.

    Rows of b and of out are contiguous. Both factors may be in pairs, see `pairs_cpu`: then out is float32.
    """
    whole = out.shape[1] - out.shape[1] % (LANES * len(_REGISTERS))
    for n in range(0, whole, LANES * len(_REGISTERS)):
        _add_columns(a, b, out, n, _REGISTERS)
    for n in range(whole, out.shape[1], LANES):
        _add_columns(a, b, out, n, _ROW)


@llvm_inline
def _add_columns(a, b, out, n, registers):
    whole = len(out) - len(out) % len(_ROWS)
    for m in range(0, whole, len(_ROWS)):
        _add_block(a, b, out, m, n, _ROWS, registers)
    for m in range(whole, len(out)):
        _add_block(a, b, out, m, n, _ROW, registers)


@intrinsic
def _add_block(typing_context, a, b, out, m, n, rows, registers):
    """`add_matrix_product` of as many rows and registers as the two tuples have members, from row m and column n on."""

    def generate(context, builder, signature, arguments):
        a, b, out = (
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args[:3], arguments[:3], strict=True)
        )
        down = [builder.add(arguments[3], ir.IntType(64)(r)) for r in range(rows.count)]
        across = [builder.add(arguments[4], ir.IntType(64)(LANES * c)) for c in range(registers.count)]
        places = [build_vector_place(builder, out, r, c) for r in down for c in across]
        sums = [cgutils.alloca_once_value(builder, build_load_from(context, builder, place)) for place in places]
        with cgutils.for_range(builder, builder.extract_value(a.shape, 1)) as loop:
            left = [build_broadcast(builder, builder.load(build_place(builder, a, r, loop.index))) for r in down]
            right = [build_load_from(context, builder, _place_in(builder, b, loop.index, c)) for c in across]
            for total, (x, y) in zip(sums, product(left, right), strict=True):
                builder.store(_build_multiply_add(builder, x, y, builder.load(total)), total)
        for place, total in zip(places, sums, strict=True):
            build_store_to(context, builder, builder.load(total), place)
        return context.get_dummy_value()

    return types.void(a, b, out, types.intp, types.intp, rows, registers), generate


def _build_multiply_add(builder, x, y, total):
    """total + x y; of pairs, the products of both are added."""
    if x.type == total.type:
        return builder.fadd(total, builder.fmul(x, y))
    kind = ir.FunctionType(total.type, [total.type, x.type, y.type])
    return builder.call(ir.InlineAsm(kind, "vdpbf16ps $3, $2, $0", "=v,0,v,v"), [total, x, y])


def _place_in(builder, b, row, column):
    """The address of the LANES values of a row from a column on, of a matrix or of one in panels."""
    if b.strides.type.count == 2:
        return build_vector_place(builder, b, row, column)
    return build_vector_place(builder, b, builder.udiv(column, column.type(LANES)), row, row.type(0))
