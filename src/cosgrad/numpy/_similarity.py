"""Similarity, distance and unit vectors."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cosgrad import _native, spec
from cosgrad.numpy._arrays import (
    FRONTEND,
    Array,
    address,
    as_array,
    as_pair,
    convert,
    dtype_index,
    keeping_subnormals,
    promote,
    view,
)


@keeping_subnormals
def cosine_similarity(
    x: ArrayLike, y: ArrayLike, *, axis: int = -1, eps: float = 0.0, keepdims: bool = False
) -> Any:
    r"""Return S = <x, y> / (max(|x|, eps) max(|y|, eps)), within 0.501 ulp.

    Args:
        x: Anything that `np.asarray` takes, of any shape and strides: float16, bfloat16 (of ml_dtypes),
            float32 or float64. Integers and booleans are converted to float64.
        y: Array that broadcasts with x. The result has the promoted dtype.
        axis: Axis of the vectors, counted in the broadcast shape.
        eps: Lower bound of each norm, at least 0. With 0, a zero vector has similarity 0 and distance 1.
        keepdims: Keep the axis, with length 1.

    Returns:
        An array of the broadcast shape without the axis, or a scalar if no other axis is left. A row with
        NaN or infinity gives NaN and changes no other row.

    Raises:
        ValueError: eps is negative or NaN, the shapes do not broadcast, or the axis does not exist.
        TypeError: An argument is masked, or has a complex or another unsupported dtype.

    Example:
        >>> import numpy as np
        >>> x = np.array([[1.0, 4.0, 5.0], [5.0, 5.0, 7.0]])
        >>> y = np.array([[3.0, 2.0, 5.0], [3.0, 2.0, 7.0]])
        >>> cosine_similarity(x, y)
        array([0.90112711, 0.94453548])
    """
    return _values(("x", "y"), x, y, axis, eps, keepdims, similarity=True)[0]


@keeping_subnormals
def cosine_distance(
    x: ArrayLike, y: ArrayLike, *, axis: int = -1, eps: float = 0.0, keepdims: bool = False
) -> Any:
    r"""Return D = 1 - S, within 0.501 ulp also if x and y are nearly parallel.

    For nearly parallel vectors, D = <r, r> / (<y, y> (1 + S)) with r = y - (<x, y> / <x, x>) x. This formula
    has no cancellation.

    Args:
        x: As in `cosine_similarity`.
        y: As in `cosine_similarity`.
        axis: Axis of the vectors, counted in the broadcast shape.
        eps: Lower bound of each norm, at least 0. With 0, a zero vector has distance 1.
        keepdims: Keep the axis, with length 1.

    Returns:
        The distances, from 0 to 2, in an array as `cosine_similarity` returns it.

    Raises:
        ValueError: As `cosine_similarity`.
        TypeError: As `cosine_similarity`.

    Example:
        >>> import numpy as np
        >>> x = np.array([1.0, 1.0, 1.0], np.float32)
        >>> float(cosine_distance(x, x + np.array([0, 0, 1e-6], np.float32)))  # doctest: +ELLIPSIS
        1.01...e-13
    """
    return _values(("x", "y"), x, y, axis, eps, keepdims, distance=True)[1]


def both(names: tuple[str, str], x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """Return S and D along the last axis, in one pass over the data."""
    S, D = _values(names, x, y, -1, 0.0, False, similarity=True, distance=True)
    return np.asarray(S), np.asarray(D)


def distance(names: tuple[str, str], x: ArrayLike, y: ArrayLike, axis: int) -> Array:
    """Return D with eps = 0. Error messages use the given names."""
    return np.asarray(_values(names, x, y, axis, 0.0, False, distance=True)[1])


def _values(
    names: tuple[str, str],
    x: ArrayLike,
    y: ArrayLike,
    axis: int,
    eps: float,
    keepdims: bool,
    *,
    similarity: bool = False,
    distance: bool = False,
) -> tuple[Any, Any]:
    a, b, axis, batch = as_pair(names[0], x, names[1], y, axis)
    shape = (*batch[:axis], 1, *batch[axis:]) if keepdims else batch
    S = np.empty(shape, a.dtype) if similarity else None
    D = np.empty(shape, a.dtype) if distance else None
    _native.forward(
        dtype_index(a.dtype) or 0,
        1,
        axis,
        spec.check_eps(eps),
        *view(a),
        *view(b),
        address(S),
        address(D),
        0,
    )
    return None if S is None else S[()], None if D is None else D[()]


@keeping_subnormals
def normalize(x: ArrayLike, *, axis: int = -1, eps: float = 0.0) -> Array:
    r"""Return x / max(|x|, eps), within 0.501 ulp.

    Args:
        x: Anything that `np.asarray` takes, as in `cosine_similarity`.
        axis: Axis of the vectors.
        eps: Lower bound of the norm, at least 0. A zero vector stays zero.

    Returns:
        An array of the shape of x. A row with NaN or infinity becomes NaN.

    Raises:
        ValueError: eps is negative or NaN, or the axis does not exist.
        TypeError: x is masked, or has a complex or another unsupported dtype.

    Example:
        >>> normalize([3.0, 4.0])
        array([0.6, 0.8])
    """
    given = as_array("x", x)
    a = convert(given, promote(given))
    a = a if a.ndim else a.reshape(1)
    out = np.empty_like(a)
    axis = FRONTEND.check_axis(axis, given.ndim)
    index = dtype_index(a.dtype) or 0
    _native.normalize(index, 1, axis, spec.check_eps(eps), *view(a), address(out), out.strides, 0)
    return out.reshape(given.shape)
