"""Memory shared by Python and compiled code: to Python a tuple of arrays, to compiled code one pointer.

The pointer leads to three words for each member of the tuple: address, rows, columns of an array, or the address
of the words of a tuple inside.  Passing the arrays themselves would copy a hundred words at every call, and make
the compiler ten times slower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, lower_getattr_generic, models, register_model
from numba.np.arrayobj import make_array, populate_array
from numba.np.numpy_support import from_dtype

_WORDS = 3
_WORD_BYTES = 8


class SharedType(types.Type):  # type: ignore[misc]
    """The type, in compiled code, of a pointer to the words of a tuple; its members are attributes."""

    def __init__(self, name: str, members: dict[str, types.Type]) -> None:
        super().__init__(name=name)
        self.members = members
        self.index = {member: k for k, member in enumerate(members)}


def shared_type(sample: Any) -> SharedType:
    """The type of all named tuples whose arrays have the record types and dimensions of the sample's."""
    members = {}
    for name, value in zip(sample._fields, sample, strict=True):
        if isinstance(value, tuple):
            members[name] = shared_type(value)
        else:
            members[name] = types.Array(from_dtype(value.dtype), value.ndim, "C")
    return SharedType(type(sample).__name__, members)


class Shared:
    """A named tuple of C-ordered arrays, held in memory while compiled code has its `address`."""

    def __init__(self, arrays: Any) -> None:
        self.arrays = arrays
        self._words = np.array(list(self._rows(arrays)), np.int64)

    def _rows(self, arrays: Any) -> Iterator[tuple[int, int, int]]:
        self._inner: list[Shared] = []
        for value in arrays:
            if isinstance(value, tuple):
                self._inner.append(Shared(value))
                yield self._inner[-1].address, 0, 0
            else:
                yield _array_row(value)

    @property
    def address(self) -> int:
        """Where the words are; valid as long as this object."""
        return int(self._words.ctypes.data)


def _array_row(array: npt.NDArray[Any]) -> tuple[int, int, int]:
    if not array.flags.c_contiguous or array.ndim not in (1, 2):
        raise TypeError("only C-ordered arrays of one or two dimensions can be shared")
    return array.ctypes.data, array.shape[0], array.shape[-1]


def pointer_maker(kind: SharedType) -> Callable[[int], Any]:
    """A function for compiled code: from the address of a Shared to the object with the arrays as attributes."""

    @intrinsic  # type: ignore[untyped-decorator,unused-ignore]
    def at(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], cgutils.voidptr_t)

        return kind(types.int64), generate

    return at  # type: ignore[no-any-return]


register_model(SharedType)(models.OpaqueModel)


@infer_getattr
class _Members(AttributeTemplate):  # type: ignore[misc]
    key = SharedType

    def generic_resolve(self, kind: SharedType, member: str) -> types.Type | None:
        return kind.members.get(member)


@lower_getattr_generic(SharedType)  # type: ignore[untyped-decorator,unused-ignore]
def _load_member(context: Any, builder: Any, kind: SharedType, pointer: Any, member: str) -> Any:
    word = cgutils.intp_t
    words = builder.bitcast(pointer, word.as_pointer())
    first = kind.index[member] * _WORDS

    def load(k: int) -> Any:
        return builder.load(cgutils.gep_inbounds(builder, words, first + k))

    of = kind.members[member]
    if isinstance(of, SharedType):
        return builder.inttoptr(load(0), cgutils.voidptr_t)
    array = make_array(of)(context, builder)
    item_bytes = context.get_abi_sizeof(context.get_data_type(of.dtype))
    shape = [load(1 + k) for k in range(of.ndim)]
    steps = [item_bytes] if of.ndim == 1 else [builder.mul(shape[1], word(item_bytes)), word(item_bytes)]
    populate_array(
        array,
        data=builder.inttoptr(load(0), array.data.type),
        shape=shape,
        strides=[word(step) if isinstance(step, int) else step for step in steps],
        itemsize=word(item_bytes),
        meminfo=None,
    )
    return array._getvalue()
