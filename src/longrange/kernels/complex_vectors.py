"""Complex numbers in vector registers: pairs of real and imaginary parts, side by side in memory.

Operations are written out for the code generator, since each function of Numba costs compile time.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from longrange.kernels.vectors import LANES, Vector, build_broadcast, build_load, build_store

ROW = 2 * LANES  # values


def _operation(formula):
    """A function of two numbers from one that is given the builder, a, b, c and d for a + i b and c + i d."""

    def operation(typing_context, a, b):
        def generate(context, builder, signature, arguments):
            parts = [builder.extract_value(number, i) for number in arguments for i in range(2)]
            return context.make_tuple(builder, signature.return_type, formula(builder, *parts))

        return a(a, b), generate

    return intrinsic(operation)


plus = _operation(lambda to, a, b, c, d: (to.fadd(a, c), to.fadd(b, d)))
minus = _operation(lambda to, a, b, c, d: (to.fsub(a, c), to.fsub(b, d)))
plus_i_times = _operation(lambda to, a, b, c, d: (to.fsub(a, d), to.fadd(b, c)))
minus_i_times = _operation(lambda to, a, b, c, d: (to.fadd(a, d), to.fsub(b, c)))
plus_conjugate = _operation(lambda to, a, b, c, d: (to.fadd(a, c), to.fsub(b, d)))
minus_conjugate = _operation(lambda to, a, b, c, d: (to.fsub(a, c), to.fadd(b, d)))
minus_then_conjugate = _operation(lambda to, a, b, c, d: (to.fsub(a, c), to.fsub(d, b)))
times = _operation(
    lambda to, a, b, c, d: (to.fsub(to.fmul(a, c), to.fmul(b, d)), to.fadd(to.fmul(a, d), to.fmul(b, c)))
)
times_conjugate = _operation(
    lambda to, a, b, c, d: (to.fadd(to.fmul(a, c), to.fmul(b, d)), to.fsub(to.fmul(b, c), to.fmul(a, d)))
)


def _reader(parts):
    """A function of a flat array and an index from one that generates the parts of the number there.

    That is given the context, the builder, the array's type, its value and the index.
    """

    def read(typing_context, z, at):
        def generate(context, builder, signature, arguments):
            found = parts(context, builder, signature.args[0], *arguments)
            return context.make_tuple(builder, signature.return_type, found)

        return types.UniTuple(Vector(z.dtype), 2)(z, types.intp), generate

    return intrinsic(read)


def _side_by_side(context, builder, array, z, at):
    return [build_load(context, builder, array, z, builder.add(at, at.type(k))) for k in (0, LANES)]


def _interleaved(context, builder, array, z, at):
    both = build_load(context, builder, array, z, at, ROW)
    return [_chosen(builder, both, both, range(i, ROW, 2)) for i in range(2)]


def _repeated(context, builder, array, z, at):
    data = context.make_array(array)(context, builder, z).data
    return [build_broadcast(builder, builder.load(builder.gep(data, [builder.add(at, at.type(i))]))) for i in range(2)]


load_complex = _reader(_side_by_side)  # the number from flat index `at` on
load_interleaved = _reader(_interleaved)  # the one whose lanes are LANES complex numbers in memory
broadcast_complex = _reader(_repeated)  # LANES times the one whose parts are at `at` and `at + 1`


@intrinsic
def store_complex(typing_context, z, at, a):
    """Write a number from flat index `at` on."""

    def generate(context, builder, signature, arguments):
        z, at, number = arguments
        for i in range(2):
            part = builder.extract_value(number, i)
            build_store(context, builder, signature.args[0], z, builder.add(at, at.type(i * LANES)), part)
        return context.get_dummy_value()

    return types.void(z, types.intp, a), generate


@intrinsic
def store_interleaved(typing_context, z, at, a):
    """Write a number as `load_interleaved` reads it."""

    def generate(context, builder, signature, arguments):
        z, at, number = arguments
        parts = [builder.extract_value(number, i) for i in range(2)]
        both = _chosen(builder, *parts, [i + part for i in range(LANES) for part in (0, LANES)])
        build_store(context, builder, signature.args[0], z, at, both)
        return context.get_dummy_value()

    return types.void(z, types.intp, a), generate


def _chosen(builder, a, b, places):
    """The values at certain places of two vectors taken as one."""
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places))
    return builder.shuffle_vector(a, b, mask)
