"""Calls of compiled functions by their address, so that a function is compiled once and not into each of its callers.

numba links a called function into its caller and optimizes both again, at each level of calls. A function that is
called by address is compiled alone, and only if it is needed.
"""

from __future__ import annotations

import functools
from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@functools.cache
def address_of(function: Any, signature: Any) -> int:
    """The address of the machine code of ``function``, a ``jit`` function, for ``signature``; compiled if necessary.

    ``signature`` has the types of the arguments; the function returns nothing.
    """
    function.compile(signature.args)
    result = function.overloads[signature.args]
    assert result.signature.return_type == types.none
    address: int = result.library.get_pointer_to_function(result.fndesc.llvm_func_name)
    return address


@intrinsic
def call(_context: Any, address: Any, arguments: Any) -> Any:
    """Call the function at ``address`` with a tuple of numbers, which have the types that the function expects."""
    argument_types = tuple(types.unliteral(argument) for argument in arguments)

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        function_type = context.call_conv.get_function_type(types.none, argument_types)
        function = builder.inttoptr(values[0], function_type.as_pointer())
        unpacked = [
            context.cast(builder, value, given, expected)
            for value, given, expected in zip(
                cgutils.unpack_tuple(builder, values[1]), signature.args[1], argument_types, strict=True
            )
        ]
        context.call_conv.call_function(builder, function, types.none, argument_types, unpacked)
        return context.get_dummy_value()

    return types.void(types.int64, arguments), codegen
