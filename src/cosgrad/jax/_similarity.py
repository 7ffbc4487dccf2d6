"""Similarity, distance and unit vectors."""

from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from cosgrad.closed import BOTH, DISTANCE, SIMILARITY, Rule
from cosgrad.jax import _normalize, _rules
from cosgrad.jax._arguments import FRONTEND, as_array, as_floats, as_pair
from cosgrad.spec import check_eps


def cosine_similarity(
    x: ArrayLike, y: ArrayLike, *, axis: int = -1, eps: float = 0.0, keepdims: bool = False
) -> Array:
    r"""Return S = <x, y> / (max(|x|, eps) max(|y|, eps)), on the CPU within 0.501 ulp.

    Args:
        x: Array of any shape, of dtype float16, bfloat16, float32 or float64. Integers and booleans are
            converted to JAX's default float.
        y: Array that broadcasts with x, without a copy. The result has the promoted dtype.
        axis: Axis of the vectors, counted in the broadcast shape.
        eps: Lower bound of each norm, at least 0. It is not differentiated. With 0, a zero vector has
            similarity 0, distance 1 and gradient 0.
        keepdims: Keep the axis, with length 1.

    Returns:
        An array of the broadcast shape without the axis. A row with NaN or infinity gives NaN and changes no
        other row.

    Raises:
        ValueError: eps is negative or NaN, the shapes do not broadcast, or the axis does not exist.
        TypeError: An argument is not an array, or has a complex or another unsupported dtype; or eps is a
            tracer.

    The function supports `jit`, `grad`, `jvp`, `vmap` and the other transforms, to every order. Sharded
    arrays stay sharded. The derivative is dS/dx = y / (|x||y|) - S x / |x|^2.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x, y = jnp.array([3.0, 4.0]), jnp.array([4.0, 3.0])
        >>> cosine_similarity(x, y)
        Array(0.96, dtype=float32)
        >>> jax.grad(cosine_similarity)(x, y)
        Array([ 0.0448, -0.0336], dtype=float32)
    """
    S: Array = cosine(SIMILARITY, ("x", "y"), x, y, axis, eps, keepdims)
    return S


def cosine_distance(
    x: ArrayLike, y: ArrayLike, *, axis: int = -1, eps: float = 0.0, keepdims: bool = False
) -> Array:
    r"""Return D = 1 - S, on the CPU within 0.501 ulp also if x and y are nearly parallel.

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
        >>> import jax.numpy as jnp
        >>> x = jnp.array([1.0, 1.0])
        >>> float(cosine_distance(x, 3 * x)), cosine_distance(x, x + jnp.array([1e-5, 0.0]))
        (0.0, Array(1.2533848e-11, dtype=float32))
    """
    D: Array = cosine(DISTANCE, ("x", "y"), x, y, axis, eps, keepdims)
    return D


def normalize(x: ArrayLike, *, axis: int = -1, eps: float = 0.0) -> Array:
    r"""Return the unit vectors x / max(|x|, eps), on the CPU within 0.501 ulp.

    Args:
        x: Array as in `cosine_similarity`.
        axis: Axis of the vectors.
        eps: Lower bound of the norm, at least 0. With 0, a zero vector stays zero, with gradient 0.

    Returns:
        An array of the shape of x. A row with NaN or infinity becomes NaN.

    Raises:
        ValueError: eps is negative or NaN, or the axis does not exist.
        TypeError: x is not an array, or has a complex or another unsupported dtype.

    Example:
        >>> import jax.numpy as jnp
        >>> normalize(jnp.array([3.0, 4.0]) * 2.0**100)
        Array([0.6, 0.8], dtype=float32)
    """
    (a,) = as_floats(as_array("x", x))
    axis, eps = FRONTEND.check_axis(axis, a.ndim), check_eps(eps)
    return _normalize.normalize(a.reshape(a.shape or (1,)), axis, eps).reshape(a.shape)


def cosine(
    what: str,
    names: tuple[str, str],
    x: Any,
    y: Any,
    axis: int,
    eps: float = 0.0,
    keepdims: bool = False,
    skip_zero: bool = False,
) -> Any:
    """Return S, D or both of two arrays. Error messages use the given names."""
    eps = check_eps(eps)
    a, b, axis, _, dtype = as_pair(names[0], x, names[1], y, axis)
    out = [t.astype(dtype) for t in _rules.cosine(a, b, Rule(axis, eps, what, skip_zero))]
    out = [jnp.expand_dims(t, axis) for t in out] if keepdims else out
    return out if what == BOTH else out[0]
