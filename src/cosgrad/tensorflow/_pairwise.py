"""The matrix of all similarities, by the matrix product of unit vectors."""

from typing import Any

import tensorflow as tf

from cosgrad.tensorflow._arguments import FRONTEND, as_pair, plain, promoted
from cosgrad.tensorflow._similarity import normalize


@plain
def pairwise_cosine_similarity(x: Any, y: Any = None) -> Any:
    r"""Return the matrix of the cosine similarities of all rows of x with all rows of y.

    Every row is divided by its exact norm, and the matrix product does the rest, so an element is as right as
    TensorFlow's makes it: within some D units in the last place. It is within [-1, 1] all the same. If y is
    x or not given, the diagonal is exactly 1.

    Args:
        x: Tensor (..., N, D) as `cosine_similarity` takes them.
        y: Tensor (..., M, D) whose batch axes broadcast with those of x; x itself if not given.

    Returns:
        Tensor (..., N, M) of the promoted dtype. A zero row has similarity 0 with every row, its own
        too; a row with NaN or infinity is NaN.

    Raises:
        ValueError: x or y has less than two axes, or shapes do not fit.
        TypeError: x and y are of two dtypes, or of one that is not served.

    Example:
        >>> print(pairwise_cosine_similarity([[2.0, 0.0], [0.0, -3.0]]).numpy())
        [[1. 0.]
         [0. 1.]]
    """
    return _matrix(x, y, distance=False)


@plain
def pairwise_cosine_distance(x: Any, y: Any = None) -> Any:
    r"""Return the matrix of the cosine distances D = 1 - S of all rows of x with all rows of y.

    As `pairwise_cosine_similarity`, within [0, 2]; if y is x or not given, the diagonal is exactly 0.
    Distances much smaller than 1 have lost digits in the matrix product; `cosine_distance` has them all.

    Args:
        x: As in `pairwise_cosine_similarity`.
        y: As in `pairwise_cosine_similarity`.

    Returns:
        Tensor (..., N, M). A zero row has distance 1 from every row.

    Raises:
        ValueError: As `pairwise_cosine_similarity`.
        TypeError: As `pairwise_cosine_similarity`.

    Example:
        >>> print(pairwise_cosine_distance([[1.0, 0.0]], [[0.0, 2.0], [3.0, 0.0], [-1.0, 0.0]]).numpy())
        [[1. 0. 2.]]
    """
    return _matrix(x, y, distance=True)


def _matrix(x: Any, y: Any, *, distance: bool) -> Any:
    own = y is None or y is x
    other = x if own else y
    a, b = as_pair(("x", "y"), x, other)
    if a.shape.is_fully_defined() and b.shape.is_fully_defined():  # else the product finds out
        FRONTEND.check_matrices(tuple(a.shape), tuple(b.shape))
    u = normalize(a)
    v = u if own else normalize(b)
    S = tf.matmul(u, v, transpose_b=True)
    right = tf.clip_by_value(S, -1, 1)
    if own:
        diagonal = tf.linalg.diag_part(right)
        right = tf.linalg.set_diag(right, tf.where(diagonal > 0.5, tf.ones_like(diagonal), diagonal))
    # To a derivative the correction is a constant, less than S's rounding. The exact value comes first:
    # `tf.function` reorders S + (right - S), and a distance of 0 would become negative.
    exact = 1 - right if distance else right
    change = S - tf.stop_gradient(S)
    result = tf.stop_gradient(exact) + (-change if distance else change)
    return tf.cast(result, promoted(x, other))
