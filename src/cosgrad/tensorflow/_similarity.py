"""Similarity, distance and the unit vector."""

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
        x: Anything `tf.convert_to_tensor` takes, of any shape: float16, bfloat16, float32 or float64.
            Python's numbers and lists of them take the dtype of y, or float32.
        y: Tensor of the same dtype (TensorFlow does not promote) that broadcasts with x.
        axis: Axis of the vectors, counted in the broadcast shape.
        eps: Floor of each norm, at least 0. With 0, a zero vector has similarity 0 and distance 1. Where it
            is in force the norm is a constant, also to the derivative.
        keepdims: Keep the axis, with length 1.

    Returns:
        A tensor of the broadcast shape without the axis, of the dtype of x and y. Rows with NaN or infinity
        are NaN and change no other row.

    Raises:
        ValueError: eps is negative or NaN, the shapes do not broadcast, or the axis does not exist. Where
            shapes are not known while tracing, the run says so as a `tf.errors.InvalidArgumentError`.
        TypeError: An argument is complex, an integer or of another dtype that is not served, or the dtypes
            differ.

    The derivatives of every order and mode are those of the formula: dS/dx = y / (|x||y|) - S x / |x|^2.

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
    r"""Return D = 1 - S, within 0.501 ulp on the CPU also where x and y nearly agree.

    There D = <r, r> / (<y, y> (1 + S)) with r = y - (<x, y> / <x, x>) x, in which nothing cancels.

    Args:
        x: As in `cosine_similarity`.
        y: As in `cosine_similarity`.
        axis: Axis of the vectors, counted in the broadcast shape.
        eps: Floor of each norm, at least 0. With 0, a zero vector has distance 1.
        keepdims: Keep the axis, with length 1.

    Returns:
        Distances from 0 to 2, as `cosine_similarity` returns similarities.

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
        eps: Floor of the norm, at least 0. With 0, a zero vector stays zero, with gradient 0.

    Returns:
        A tensor of the shape and dtype of x. Rows with NaN or infinity are NaN.

    Raises:
        ValueError: eps is negative or NaN, or the axis does not exist.
        TypeError: x is complex, an integer or of another dtype that is not served.

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
    """Return S, D or both of two arguments known by these names."""
    a, b = as_pair(names, x, y)
    shape = broadcast(names, a, b)
    axis = check_axis(axis, shape.rank)
    out = _rules.cosine(a, b, Rule(axis, check_eps(eps), what, skip_zero), names)
    if (dtype := promoted(x, y)) != a.dtype:
        out = tuple(tf.cast(t, dtype) for t in out) if what == BOTH else tf.cast(out, dtype)
    if not keepdims or shape.rank == 0:
        return out
    return tf.expand_dims(out, axis)
