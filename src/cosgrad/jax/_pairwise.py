"""The matrix of all similarities or distances, computed as the matrix product of unit vectors."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from cosgrad.jax._arguments import FRONTEND, as_array, as_floats, promoted
from cosgrad.jax._similarity import normalize


def pairwise_cosine_similarity(x: ArrayLike, y: ArrayLike | None = None) -> Array:
    r"""Return the matrix of the cosine similarities of all rows of x with all rows of y.

    Every row is divided by its exact norm, and then XLA computes the matrix product. So an element has the
    error of XLA's product, about D units in the last place. All elements are clipped to [-1, 1]. If y is x or
    not given, the diagonal is exactly 1.

    Args:
        x: Array (..., N, D), as in `cosine_similarity`.
        y: Array (..., M, D) whose batch axes broadcast with those of x; x itself if not given.

    Returns:
        Array (..., N, M) of the promoted dtype. A zero row has similarity 0 with every row, also with itself.
        All similarities of a row with NaN or infinity are NaN.

    Raises:
        ValueError: x or y has fewer than two axes, or shapes do not fit.
        TypeError: An argument is not an array, or has a complex or another unsupported dtype.

    Example:
        >>> import jax.numpy as jnp
        >>> pairwise_cosine_similarity(jnp.array([[2.0, 0.0], [0.0, -3.0]]))
        Array([[1., 0.],
               [0., 1.]], dtype=float32)
    """
    return _checked(x, y, distance=False)


def pairwise_cosine_distance(x: ArrayLike, y: ArrayLike | None = None) -> Array:
    r"""Return the matrix of the cosine distances D = 1 - S of all rows of x with all rows of y.

    The computation is that of `pairwise_cosine_similarity`, and all elements are within [0, 2]. If y is x or
    not given, the diagonal is exactly 0. The matrix product loses digits of distances much smaller than 1;
    `cosine_distance` keeps them.

    Args:
        x: As in `pairwise_cosine_similarity`.
        y: As in `pairwise_cosine_similarity`.

    Returns:
        Array (..., N, M). A zero row has distance 1 from every row.

    Raises:
        ValueError: As `pairwise_cosine_similarity`.
        TypeError: As `pairwise_cosine_similarity`.

    Example:
        >>> import jax.numpy as jnp
        >>> pairwise_cosine_distance(jnp.eye(2), jnp.array([[0.0, 2.0], [-1.0, 0.0]]))
        Array([[1., 2.],
               [0., 1.]], dtype=float32)
    """
    return _checked(x, y, distance=True)


def _checked(x: ArrayLike, y: ArrayLike | None, *, distance: bool) -> Array:
    given = as_array("x", x)
    other = given if y is None or y is x else as_array("y", y)  # the test for identity works for tracers too
    own = other is given
    a, b = as_floats(given, other)
    FRONTEND.check_matrices(a.shape, b.shape)
    result: Array = _matrix(a, None if own else b, distance=distance)
    return result.astype(promoted(given, other))


@partial(jax.jit, static_argnames="distance", inline=True)
def _matrix(x: Array, y: Array | None, *, distance: bool) -> Array:
    u = normalize(x)
    v = u if y is None else normalize(y)
    S = jnp.matmul(u, jnp.swapaxes(v, -1, -2), precision=jax.lax.Precision.HIGHEST)
    right = jnp.clip(jax.lax.stop_gradient(S), -1, 1)
    if y is None:
        own = jnp.eye(S.shape[-1], dtype=bool) & (right > 0.5)
        right = jnp.where(own, 1, right)
    S = S + (right - jax.lax.stop_gradient(S))  # the correction is a constant, smaller than S's error
    return 1 - S if distance else S
