"""Vector registers as values in Numba kernels: for loops too short or too nested for the compiler to vectorise.

`load_vector` reads neighbouring values of a flat array, `store_vector` writes them, and +, -, *, / act on each;
`load_row` and `store_row` do so in a matrix, `transpose` transposes one. `stack` is memory that the compiler knows to
be the function's own, so that it may keep what lies there in registers. Arrays of bfloat16, see `numba_tools.arrays`,
are read as float32. Functions named `build_...` generate code for a given LLVM builder.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import PrimitiveModel
from numba.extending import intrinsic, overload, register_model
from numba.np.arrayobj import populate_array

LANES = 16  # values: one register of AVX-512 in single precision, several of a machine with shorter ones
_INDEX = ir.IntType(32)


class Vector(types.Type):
    """So many floats of one type."""

    def __init__(self, element, count=LANES):
        self.element, self.count = element, count
        super().__init__(name=f"Vector({element}, {count})")


def vector_type(array, count=LANES):
    """What a register holds of an array, by their types."""
    return Vector(types.float32 if array.dtype == types.uint16 else array.dtype, count)


@register_model(Vector)
class _Model(PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, ir.VectorType(manager.lookup(vector.element).get_value_type(), vector.count))


@intrinsic
def load_vector(typing_context, array, at):
    """The LANES values of a contiguous array from flat index `at` on."""

    def generate(context, builder, signature, arguments):
        return build_load(context, builder, signature.args[0], *arguments)

    return vector_type(array)(array, types.intp), generate


@intrinsic
def load_values(typing_context, array, at, axes):
    """As `load_vector`; as many values as the tuple `axes` has members."""

    def generate(context, builder, signature, arguments):
        return build_load(context, builder, signature.args[0], *arguments[:2], axes.count)

    return vector_type(array, axes.count)(array, types.intp, axes), generate


@intrinsic
def store_vector(typing_context, array, at, value):
    """Write LANES values into a contiguous array, from flat index `at` on."""

    def generate(context, builder, signature, arguments):
        build_store(context, builder, signature.args[0], *arguments)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def load_row(typing_context, rows, t):
    """The first LANES values of row t of a matrix whose rows are contiguous, wherever they lie."""

    def generate(context, builder, signature, arguments):
        place = _row(context, builder, signature.args[0], *arguments)
        return build_load_from(context, builder, place)

    return Vector(rows.dtype)(rows, types.intp), generate


@intrinsic
def store_row(typing_context, rows, t, value):
    """Write the first LANES values of a row, see `load_row`."""

    def generate(context, builder, signature, arguments):
        place = _row(context, builder, signature.args[0], *arguments[:2])
        build_store_to(context, builder, arguments[2], place)
        return context.get_dummy_value()

    return types.void(rows, types.intp, value), generate


@intrinsic
def transpose(typing_context, source, out, factor):
    """Write the transpose of LANES times LANES values, times a factor; both matrices as in `load_row`."""

    def generate(context, builder, signature, arguments):
        (source, out, factor), (from_type, to_type, _) = arguments, signature.args
        rows, factors = [], build_broadcast(builder, factor)
        for c in range(LANES):
            place = _row(context, builder, from_type, source, ir.IntType(64)(c))
            row = build_load_from(context, builder, place)
            rows.append(builder.fmul(row, factors))
        for c, row in enumerate(_transposed(builder, rows)):
            place = _row(context, builder, to_type, out, ir.IntType(64)(c))
            build_store_to(context, builder, row, place)
        return context.get_dummy_value()

    return types.void(source, out, factor), generate


def _row(context, builder, array, value, t):
    """The address of the first LANES values of a row."""
    return build_vector_place(builder, context.make_array(array)(context, builder, value), t, t.type(0))


def build_vector_place(builder, array, *indices):
    """Generates the address of LANES neighbouring values of an array whose last axis is contiguous."""
    place = build_place(builder, array, *indices)
    return builder.bitcast(place, ir.VectorType(place.type.pointee, LANES).as_pointer())


def build_place(builder, array, *indices):
    """Generates the address of a value of an array, by its strides."""
    place = builder.bitcast(array.data, ir.IntType(8).as_pointer())
    for axis, index in enumerate(indices):
        place = builder.gep(place, [builder.mul(index, builder.extract_value(array.strides, axis))])
    return builder.bitcast(place, array.data.type)


def _transposed(builder, rows):
    """Row i takes turns with row i + LANES / 2, as often as LANES can be halved."""
    half, index = LANES // 2, ir.VectorType(_INDEX, LANES)
    low, high = ([i for k in range(half) for i in (start + k, start + k + LANES)] for start in (0, half))
    for _ in range(LANES.bit_length() - 1):
        pairs = zip(rows[:half], rows[half:], strict=True)
        rows = [builder.shuffle_vector(a, b, ir.Constant(index, mask)) for a, b in pairs for mask in (low, high)]
    return rows


def build_load(context, builder, array, value, at, count=LANES):
    """Generates the load of values of an array, given by its type and its value, from flat index `at` on."""
    place = _place(context, builder, array, value, at, count)
    loaded = build_load_from(context, builder, place)
    return widened(builder, loaded) if array.dtype == types.uint16 else loaded


def build_store(context, builder, array, value, at, vector):
    """Generates the store of a vector into an array, given by its type and its value, from flat index `at` on."""
    place = _place(context, builder, array, value, at, vector.type.count)
    build_store_to(context, builder, rounded(builder, vector) if array.dtype == types.uint16 else vector, place)


def build_load_from(context, builder, place):
    """Generates the load of a vector from its address, of which its values' alignment is known."""
    return builder.load(place, align=context.get_abi_sizeof(place.type.pointee.element))


def build_store_to(context, builder, vector, place):
    """Generates the store of a vector, as `build_load_from`."""
    builder.store(vector, place, align=context.get_abi_sizeof(place.type.pointee.element))


def _place(context, builder, array, value, at, count):
    """The address of a vector at a flat index of an array."""
    data = context.make_array(array)(context, builder, value).data
    return builder.bitcast(builder.gep(data, [at]), ir.VectorType(data.type.pointee, count).as_pointer())


def widened(builder, bits):
    """Generates the float32 values of bfloat16's bits, of one or of a vector of them."""
    wide = _shaped_as(bits, _INDEX)
    return builder.bitcast(builder.shl(builder.zext(bits, wide), _all(wide, 16)), _shaped_as(bits, ir.FloatType()))


def rounded(builder, value):
    """Generates the bits of the nearest bfloat16 of float32 values, of the even one halfway; inverse of `widened`."""
    whole = _shaped_as(value, _INDEX)
    bits = builder.bitcast(value, whole)
    odd = builder.and_(builder.lshr(bits, _all(whole, 16)), _all(whole, 1))
    nearest = builder.lshr(builder.add(builder.add(bits, _all(whole, 0x7FFF)), odd), _all(whole, 16))
    is_nan = builder.fcmp_unordered("uno", value, value)
    return builder.trunc(builder.select(is_nan, _all(whole, 0x7FC0), nearest), _shaped_as(value, ir.IntType(16)))


def _shaped_as(value, element):
    return ir.VectorType(element, value.type.count) if isinstance(value.type, ir.VectorType) else element


def _all(kind, number):
    return ir.Constant(kind, [number] * kind.count if isinstance(kind, ir.VectorType) else number)


def build_broadcast(builder, number):
    """Generates LANES times one number."""
    first = builder.insert_element(ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined), number, _INDEX(0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(_INDEX, LANES), [0] * LANES))


@intrinsic
def zero_vector(typing_context, array):
    """LANES zeros of the type of the array."""

    def generate(context, builder, signature, arguments):
        return context.get_constant_null(signature.return_type)

    return Vector(array.dtype)(array), generate


@intrinsic
def _add(typing_context, a, b):
    return a(a, b), lambda context, builder, signature, arguments: builder.fadd(*arguments)


@intrinsic
def _subtract(typing_context, a, b):
    return a(a, b), lambda context, builder, signature, arguments: builder.fsub(*arguments)


@intrinsic
def _multiply(typing_context, a, b):
    return a(a, b), lambda context, builder, signature, arguments: builder.fmul(*arguments)


@intrinsic
def _divide(typing_context, a, b):
    return a(a, b), lambda context, builder, signature, arguments: builder.fdiv(*arguments)


@overload(operator.add)
@overload(operator.iadd)
def _overload_add(a, b):
    if isinstance(a, Vector):
        return lambda a, b: _add(a, b)


@overload(operator.sub)
def _overload_subtract(a, b):
    if isinstance(a, Vector):
        return lambda a, b: _subtract(a, b)


@overload(operator.mul)
def _overload_multiply(a, b):
    if isinstance(a, Vector):
        return lambda a, b: _multiply(a, b)


@overload(operator.truediv)
def _overload_divide(a, b):
    if isinstance(a, Vector):
        return lambda a, b: _divide(a, b)


@intrinsic(prefer_literal=True)
def stack(typing_context, like, size):
    """An uninitialised flat array of `size` values, a constant, of the type of `like`, on the function's stack."""
    element, count = like.dtype, size.literal_value
    array = types.Array(element, 1, "C")

    def generate(context, builder, signature, arguments):
        data = context.get_data_type(element)
        values = cgutils.alloca_once(builder, ir.ArrayType(data, count))
        values.align = 64
        made, width = context.make_array(array)(context, builder), context.get_abi_sizeof(data)
        place = builder.bitcast(values, data.as_pointer())
        populate_array(made, place, [ir.IntType(64)(count)], [ir.IntType(64)(width)], ir.IntType(64)(width), None)
        return made._getvalue()

    return array(like, size), generate
