"""The matrix of all similarities or distances, computed as the matrix product of unit vectors."""

import numpy as np
from numpy.typing import ArrayLike

from cosgrad.numpy._arrays import FRONTEND, Array, as_array, convert, keeping_subnormals, promote
from cosgrad.numpy._similarity import normalize


@keeping_subnormals
def pairwise_cosine_similarity(x: ArrayLike, y: ArrayLike | None = None) -> Array:
    r"""Return the matrix of the cosine similarities of all rows of x with all rows of y.

    Every row is divided by its exact norm, and then BLAS computes the matrix product. So an element has the
    error of BLAS, about D units in the last place. All elements are clipped to [-1, 1]. If y is x or not
    given, the diagonal is exactly 1.

    Args:
        x: Array (..., N, D), or anything that `np.asarray` takes.
        y: Array (..., M, D) whose batch axes broadcast with those of x; x itself if not given.

    Returns:
        Array (..., N, M) of the promoted dtype. A zero row has similarity 0 with every row, also with itself.
        All similarities of a row with NaN or infinity are NaN.

    Raises:
        ValueError: x or y has fewer than two axes, or shapes do not fit.
        TypeError: An argument is masked, or has a complex or another unsupported dtype.

    Example:
        >>> pairwise_cosine_similarity([[3.0, 4.0], [4.0, 3.0]])
        array([[1.  , 0.96],
               [0.96, 1.  ]])
    """
    return _matrix(x, y, distance=False)


@keeping_subnormals
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
        >>> pairwise_cosine_distance([[1.0, 0.0]], [[0.0, 2.0], [3.0, 0.0], [-1.0, 0.0]])
        array([[1., 0., 2.]])
    """
    return _matrix(x, y, distance=True)


def _matrix(x: ArrayLike, y: ArrayLike | None, *, distance: bool) -> Array:
    a = as_array("x", x)
    b = a if y is None or y is x else as_array("y", y)
    own = b is a
    FRONTEND.check_matrices(a.shape, b.shape)
    dtype = promote(a, b)
    wide = np.promote_types(dtype, np.float32)  # BLAS has no half types
    u = normalize(convert(a, wide))
    v = u if own else normalize(convert(b, wide))
    with np.errstate(invalid="ignore"):
        S = np.matmul(u, v.swapaxes(-1, -2))
        np.clip(S, -1, 1, out=S)
        if own or _same_view(a, b):
            diagonal = np.einsum("...ii->...i", S)  # a view
            diagonal[diagonal > 0.5] = 1
        if distance:
            np.subtract(1, S, out=S)
    return convert(S, dtype)


def _same_view(a: Array, b: Array) -> bool:
    """Return whether two arrays have the same elements in the same order in the same memory."""
    same = a.ctypes.data == b.ctypes.data and a.dtype == b.dtype
    return same and a.shape == b.shape and a.strides == b.strides
