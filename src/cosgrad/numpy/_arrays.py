"""NumPy's conventions for arguments, and the array operations of the closed forms."""

import functools
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar

import numpy as np
from numpy.exceptions import AxisError
from numpy.typing import ArrayLike, NDArray

from cosgrad import _native
from cosgrad.spec import Frontend, Shape

Array: TypeAlias = NDArray[Any]
P = ParamSpec("P")
T = TypeVar("T")

FRONTEND = Frontend("axis", "array", AxisError)
# The float dtype for integers, by their size in bytes.
_HOLDING: Final = {2: np.float32, 4: np.float64, 8: np.float64}
_FLOATS = "float16, bfloat16, float32 or float64"


def keeping_subnormals(function: Callable[P, T]) -> Callable[P, T]:
    """Run a function with subnormals enabled, also in NumPy's operations: the host may flush them to zero."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        saved = _native.enter_environment()
        try:
            return function(*args, **kwargs)
        finally:
            _native.leave_environment(saved)

    return wrapper


@functools.lru_cache(maxsize=64)  # `dtype.name` takes microseconds: NumPy builds it on every access
def dtype_index(dtype: np.dtype[Any]) -> int | None:
    """Return the core's index of a dtype, or None if the core does not support it.

    The lookup is by name, since bfloat16 is not a dtype of NumPy's own.
    """
    return _native.dtypes.index(dtype.name) if dtype.name in _native.dtypes else None


def as_array(name: str, x: ArrayLike) -> Array:
    """Return x as an array of real numbers, without a copy if it is one."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, and its mask would be lost: fill it first")
    array = np.asarray(x)
    if dtype_index(array.dtype) is None and array.dtype.kind not in "biu":
        if hasattr(x, "toarray"):  # NumPy converts SciPy's sparse classes to an array of one object
            raise TypeError(f"{name} is a sparse {type(x).__name__}, must be dense: pass {name}.toarray()")
        raise FRONTEND.refuse_dtype(
            name, array.dtype, f"real, that is {_FLOATS}, or integers, taken as float64"
        )
    return array


def convert(array: Array, dtype: np.dtype[Any]) -> Array:
    """Return the array in native byte order and aligned memory, as the core requires."""
    array = array.astype(dtype.newbyteorder("="), copy=False)
    return array if array.flags.aligned else array.copy()


def promote(*arrays: Array) -> np.dtype[Any]:
    """Return the promoted dtype.

    Without any floats it is float64. With floats, booleans and integers of up to 8 bits do not change the
    dtype; integers of 16 bits count as float32, and wider ones as float64. float16 with bfloat16 gives
    float32. These are NumPy's rules, extended to bfloat16.
    """
    floats = {a.dtype for a in arrays if a.dtype.kind not in "biu"}
    if not floats:
        return np.dtype(np.float64)
    needed = {_HOLDING[a.dtype.itemsize] for a in arrays if a.dtype.kind in "biu" and a.dtype.itemsize > 1}
    if sum(dtype.itemsize == 2 for dtype in floats) > 1:
        needed.add(np.float32)
        floats = {dtype for dtype in floats if dtype.itemsize > 2}
    return np.result_type(*floats, *needed)


def as_pair(
    x_name: str, x: ArrayLike, y_name: str, y: ArrayLike, axis: int
) -> tuple[Array, Array, int, Shape]:
    """Return both arrays as the core requires them, the axis in the broadcast shape, and the batch shape.

    A scalar counts as a vector of length 1.
    """
    a, b = as_array(x_name, x), as_array(y_name, y)
    dtype = promote(a, b)
    if dtype_index(dtype) is None:
        raise FRONTEND.refuse_dtype(f"the promoted type of {x_name} and {y_name}", dtype, _FLOATS)
    a, b = convert(a, dtype), convert(b, dtype)
    if a.ndim == b.ndim == 0:
        a = a.reshape(1)
    shape = FRONTEND.check_broadcast(x_name, a.shape, y_name, b.shape)
    axis = FRONTEND.check_axis(axis, len(shape))
    return a, b, axis, shape[:axis] + shape[axis + 1 :]


def aligned(array: Array, rank: int) -> Array:
    """Return a view of the given rank, with leading axes of length 1."""
    return array.reshape((1,) * (rank - array.ndim) + array.shape)


def address(array: Array | None) -> int:
    """Return the address of the data, or 0 for None."""
    return 0 if array is None else array.ctypes.data


def view(array: Array) -> tuple[int, Shape, Shape]:
    """Return the address, the shape and the strides of an array."""
    return address(array), array.shape, array.strides


class NumpyOps:
    """`cosgrad.spec.Ops` for arrays; everything is computed in float64."""

    def widen(self, x: Array) -> Array:
        """Return x in float64."""
        return x.astype(np.float64, copy=False)

    def cast(self, x: Array, like: Array) -> Array:
        """Return x in the dtype of `like`."""
        return np.asarray(x).astype(like.dtype, copy=False)

    def detach(self, x: Array) -> Array:
        """Return x, since NumPy arrays have no automatic derivatives."""
        return x

    def zeros(self, like: Array) -> Array:
        """Return zeros of the shape of `like`, without memory for them."""
        return np.broadcast_to(np.zeros((), like.dtype), like.shape)

    def where(self, condition: Array, x: Array | float, y: Array | float) -> Array:
        """Select elements by a condition."""
        return np.where(condition, x, y)

    def sqrt(self, x: Array) -> Array:
        """Return the square root."""
        return np.sqrt(x)

    def isfinite(self, x: Array) -> Array:
        """Return whether each element is finite."""
        return np.isfinite(x)

    def sum(self, x: Array, axis: int | Shape) -> Array:
        """Sum over one or several axes and keep them with length 1."""
        return np.asarray(np.sum(x, axis, keepdims=True))

    def largest(self, x: Array, axis: int) -> Array:
        """Return max |x_i|, or 0 for an empty axis."""
        return np.asarray(np.max(np.abs(x), axis, keepdims=True, initial=0))

    def inverse_powers(self, m: Array) -> tuple[Array, Array]:
        """Return two powers of two whose product times m is from 2 to 4."""
        exponent = np.minimum(2 - np.frexp(m)[1], 1023)
        nan = np.where(np.isfinite(m), 0.0, np.nan)
        return np.ldexp(1.0, (exponent + 1) >> 1) + nan, np.ldexp(1.0, exponent >> 1) + nan

    def limits(self, x: Array) -> tuple[float, float]:
        """Return the machine epsilon and the largest number."""
        info = np.finfo(x.dtype)
        return float(info.eps), float(info.max)

    def total(self, x: Array) -> Array:
        """Return the sum of all elements, in float64 and in a fixed order."""
        return np.asarray(np.sum(x, dtype=np.float64))


OPS = NumpyOps()
