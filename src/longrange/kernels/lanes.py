"""Vector registers as values in Numba kernels: for loops too short or too nested for the compiler to vectorise.

`lanes` reads neighbouring values of a flat array, `put` writes them, and +, -, * act on each. `stack` is memory that
the compiler knows to be the function's own, so that it may keep what lies there in registers.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import PrimitiveModel
from numba.extending import intrinsic, overload, register_model
from numba.np.arrayobj import populate_array

LANES = 16  # values: one register of AVX-512 in single precision, several of a machine with shorter ones


class _Lanes(types.Type):
    """So many floats of one type."""

    def __init__(self, element, count=LANES):
        self.element, self.count = element, count
        super().__init__(name=f"Lanes({element}, {count})")


@register_model(_Lanes)
class _Model(PrimitiveModel):
    def __init__(self, manager, lanes):
        super().__init__(manager, lanes, ir.VectorType(manager.lookup(lanes.element).get_value_type(), lanes.count))


@intrinsic
def lanes(typing_context, array, at):
    """The LANES values of a contiguous array from flat index `at` on."""
    return _Lanes(array.dtype)(array, types.intp), _load


@intrinsic
def some_lanes(typing_context, array, at, axes):
    """As `lanes`; as many values as the tuple `axes` has members."""
    return _Lanes(array.dtype, axes.count)(array, types.intp, axes), _load


@intrinsic
def put(typing_context, array, at, value):
    """Write LANES values into a contiguous array, from flat index `at` on."""

    def generate(context, builder, signature, arguments):
        place = _place(context, builder, signature, arguments, value)
        builder.store(arguments[2], place, align=context.get_abi_sizeof(place.type.pointee.element))
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


def _load(context, builder, signature, arguments):
    place = _place(context, builder, signature, arguments, signature.return_type)
    return builder.load(place, align=context.get_abi_sizeof(place.type.pointee.element))


def _place(context, builder, signature, arguments, lanes):
    """The address of lanes of a type at an index of an array, the first two arguments."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    vector = context.get_value_type(lanes)
    return builder.bitcast(builder.gep(array.data, [arguments[1]]), vector.as_pointer())


@intrinsic
def nothing(typing_context, array):
    """LANES zeros of the type of the array."""

    def generate(context, builder, signature, arguments):
        return context.get_constant_null(signature.return_type)

    return _Lanes(array.dtype)(array), generate


@intrinsic
def _add(typing_context, a, b):
    return a(a, b), lambda context, builder, signature, arguments: builder.fadd(*arguments)


@intrinsic
def _subtract(typing_context, a, b):
    return a(a, b), lambda context, builder, signature, arguments: builder.fsub(*arguments)


@intrinsic
def _multiply(typing_context, a, b):
    return a(a, b), lambda context, builder, signature, arguments: builder.fmul(*arguments)


@overload(operator.add)
@overload(operator.iadd)
def _overload_add(a, b):
    if isinstance(a, _Lanes):
        return lambda a, b: _add(a, b)


@overload(operator.sub)
def _overload_subtract(a, b):
    if isinstance(a, _Lanes):
        return lambda a, b: _subtract(a, b)


@overload(operator.mul)
def _overload_multiply(a, b):
    if isinstance(a, _Lanes):
        return lambda a, b: _multiply(a, b)


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
