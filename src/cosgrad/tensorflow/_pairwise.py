"""The matrix of all similarities or distances, computed as the matrix product of unit vectors."""

from typing import Any

import tensorflow as tf

from cosgrad.tensorflow._arguments import FRONTEND, as_pair, plain, promoted
from cosgrad.tensorflow._similarity import normalize


@plain
def pairwise_cosine_similarity(x: Any, y: Any = None) -> Any:
    r"""Return the matrix of the cosine similarities of all rows of x with all rows of y.

    Every row is divided by its exact norm, and then TensorFlow computes the matrix product. So an element has
    the error of this product, about D units in the last place. All elements are clipped to [-1, 1]. If y is x
    or not given, the diagonal is exactly 1.

    Args:
        x: Tensor (..., N, D), as in `cosine_similarity`.
        y: Tensor (..., M, D) whose batch axes broadcast with those of x; x itself if not given.

    Returns:
        Tensor (..., N, M) of the promoted dtype. A zero row has similarity 0 with every row, also with
        itself. All similarities of a row with NaN or infinity are NaN.

    Raises:
        ValueError: x or y has fewer than two axes, or shapes do not fit.
        TypeError: x and y have two dtypes, or an unsupported one.

    Example:
        >>> print(pairwise_cosine_similarity([[2.0, 0.0], [0.0, -3.0]]).numpy())
        [[1. 0.]
         [0. 1.]]
    """
    return _matrix(x, y, distance=False)


@plain
def pairwise_cosine_distance(x: Any, y: Any = None) -> Any:
    r"""Return the matrix of the cosine distances D = 1 - S of all rows of x with all rows of y.

    The computation is that of `pairwise_cosine_similarity`, and all elements are within [0, 2]. If y is x or
    not given, the diagonal is exactly 0. The matrix product loses digits of distances much smaller than 1;
    `cosine_distance` keeps them.

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
    if a.shape.is_fully_defined() and b.shape.is_fully_defined():  # otherwise the product raises
        FRONTEND.check_matrices(tuple(a.shape), tuple(b.shape))
    u = normalize(a)
    v = u if own else normalize(b)
    S = tf.matmul(u, v, transpose_b=True)
    right = tf.clip_by_value(S, -1, 1)
    if own:
        diagonal = tf.linalg.diag_part(right)
        right = tf.linalg.set_diag(right, tf.where(diagonal > 0.5, tf.ones_like(diagonal), diagonal))
    # The correction is smaller than the rounding error of S, and is not differentiated. The exact value comes
    # first, because `tf.function` reorders S + (right - S), which could make a distance of 0 negative.
    exact = 1 - right if distance else right
    change = S - tf.stop_gradient(S)
    result = tf.stop_gradient(exact) + (-change if distance else change)
    return tf.cast(result, promoted(x, other))
