"""Similarity, distance and unit vectors."""

from typing import Any

import tensorflow as tf

from cosgrad.closed import BOTH, DISTANCE, SIMILARITY, Rule
from cosgrad.spec import check_eps
from cosgrad.tensorflow import _rules
from cosgrad.tensorflow._arguments import Names, as_pair, as_tensor, broadcast, check_axis, plain, promoted


@plain
def cosine_similarity(x: Any, y: Any, *, axis: int = -1, eps: float = 0.0, keepdims: bool = False) -> Any:
    r"""Return S = <x, y> / (max(|x|, eps) max(|y|, eps)), within 0.501 ulp on the CPU.

    Args:
        x: Anything that `tf.convert_to_tensor` takes, of any shape: float16, bfloat16, float32 or float64.
            Python numbers and lists of them get the dtype of y, or float32.
        y: Tensor of the same dtype (TensorFlow does not promote) that broadcasts with x.
        axis: Axis of the vectors, counted in the broadcast shape.
        eps: Lower bound of each norm, at least 0. With 0, a zero vector has similarity 0 and distance 1. If a
            norm is below eps, its factor is the constant eps, and its derivative is 0.
        keepdims: Keep the axis, with length 1.

    Returns:
        A tensor of the broadcast shape without the axis, of the dtype of x and y. A row with NaN or infinity
        gives NaN and changes no other row.

    Raises:
        ValueError: eps is negative or NaN, the shapes do not broadcast, or the axis does not exist. If shapes
            are unknown during tracing, the run raises a `tf.errors.InvalidArgumentError` instead.
        TypeError: An argument has a complex, an integer or another unsupported dtype, or the dtypes differ.

    Derivatives of every order and mode are those of the formula. The first is
    dS/dx = y / (|x||y|) - S x / |x|^2.

    Example:
        >>> import tensorflow as tf
        >>> x = tf.constant([[3.0, 4.0]])
        >>> with tf.GradientTape() as tape:
        ...     tape.watch(x)
        ...     S = cosine_similarity(x, [[4.0, 3.0]])
        >>> print(S.numpy(), tape.gradient(S, x).numpy())
        [0.96] [[ 0.0448 -0.0336]]
    """
    return cosine(SIMILARITY, ("x", "y"), x, y, axis, eps, keepdims)


@plain
def cosine_distance(x: Any, y: Any, *, axis: int = -1, eps: float = 0.0, keepdims: bool = False) -> Any:
    r"""Return D = 1 - S, within 0.501 ulp on the CPU also if x and y are nearly parallel.

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
        >>> print(cosine_distance([1.0, 1.0], [1.00001, 1.0]).numpy())
        1.2533848e-11
    """
    return cosine(DISTANCE, ("x", "y"), x, y, axis, eps, keepdims)


@plain
def normalize(x: Any, *, axis: int = -1, eps: float = 0.0) -> Any:
    r"""Return x / max(|x|, eps), within 0.501 ulp on the CPU.

    Args:
        x: As in `cosine_similarity`.
        axis: Axis of the vectors.
        eps: Lower bound of the norm, at least 0. With 0, a zero vector stays zero, with gradient 0.

    Returns:
        A tensor of the shape and dtype of x. A row with NaN or infinity becomes NaN.

    Raises:
        ValueError: eps is negative or NaN, or the axis does not exist.
        TypeError: x has a complex, an integer or another unsupported dtype.

    Example:
        >>> print(normalize([[3.0, 4.0], [0.0, 0.0]]).numpy())
        [[0.6 0.8]
         [0.  0. ]]
    """
    t = as_tensor("x", x)
    return _rules.normalize(t, check_axis(axis, t.shape.rank), check_eps(eps))


def cosine(
    what: str,
    names: Names,
    x: Any,
    y: Any,
    axis: int,
    eps: float = 0.0,
    keepdims: bool = False,
    skip_zero: bool = False,
) -> Any:
    """Return S, D or both of two arguments. Error messages use the given names."""
    a, b = as_pair(names, x, y)
    shape = broadcast(names, a, b)
    axis = check_axis(axis, shape.rank)
    out = _rules.cosine(a, b, Rule(axis, check_eps(eps), what, skip_zero), names)
    if (dtype := promoted(x, y)) != a.dtype:
        out = tuple(tf.cast(t, dtype) for t in out) if what == BOTH else tf.cast(out, dtype)
    if not keepdims or shape.rank == 0:
        return out
    return tf.expand_dims(out, axis)
