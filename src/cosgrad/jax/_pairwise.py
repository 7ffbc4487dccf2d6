"""The matrix of all similarities, by the matrix product of unit vectors."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from cosgrad.jax._arguments import FRONTEND, as_array, as_floats, promoted
from cosgrad.jax._similarity import normalize


def pairwise_cosine_similarity(x: ArrayLike, y: ArrayLike | None = None) -> Array:
    r"""Return the matrix of the cosine similarities of all rows of x with all rows of y.

    Every row is divided by its exact norm, and the matrix product does the rest, so an element is as right as
    XLA's makes it: within some D units in the last place. It is within [-1, 1] all the same. If y is
    x or not given, the diagonal is exactly 1.

    Args:
        x: Array (..., N, D) as `cosine_similarity` takes them.
        y: Array (..., M, D) whose batch axes broadcast with those of x; x itself if not given.

    Returns:
        Array (..., N, M) of the promoted dtype. A zero row has similarity 0 with every row, its own
        too; a row with NaN or infinity is NaN.

    Raises:
        ValueError: x or y has less than two axes, or shapes do not fit.
        TypeError: An argument is no array, complex or of another dtype that is not served.

    Example:
        >>> import jax.numpy as jnp
        >>> pairwise_cosine_similarity(jnp.array([[2.0, 0.0], [0.0, -3.0]]))
        Array([[1., 0.],
               [0., 1.]], dtype=float32)
    """
    return _checked(x, y, distance=False)


def pairwise_cosine_distance(x: ArrayLike, y: ArrayLike | None = None) -> Array:
    r"""Return the matrix of the cosine distances D = 1 - S of all rows of x with all rows of y.

    As `pairwise_cosine_similarity`, within [0, 2]; if y is x or not given, the diagonal is exactly 0.
    Distances much smaller than 1 have lost digits in the matrix product; `cosine_distance` has them all.

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
    other = given if y is None or y is x else as_array("y", y)  # a tracer is x or not, as an array is
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
    S = S + (right - jax.lax.stop_gradient(S))  # to a derivative a constant, and less than S's rounding
    return 1 - S if distance else S
