"""The losses: distances with weights and a reduction."""

import math
from typing import Any

import tensorflow as tf

from cosgrad import spec
from cosgrad.closed import BOTH, DISTANCE
from cosgrad.tensorflow import _closed
from cosgrad.tensorflow._arguments import (
    FRONTEND,
    as_dense,
    as_pair,
    broadcast,
    check_axis,
    check_fits,
    check_real,
    plain,
    promoted,
    without_axis,
)
from cosgrad.tensorflow._ops import OPS, wide, widest
from cosgrad.tensorflow._similarity import cosine


@plain
def cosine_distance_loss(
    labels: Any,
    predictions: Any,
    *,
    axis: int = -1,
    weights: Any = None,
    reduction: str = "mean",
    assume_normalized: bool = False,
) -> Any:
    r"""Return the mean of the cosine distances D = 1 - S of labels and predictions.

    Args:
        labels: Anything that `tf.convert_to_tensor` takes, as in `cosine_similarity`.
        predictions: Tensor of the same dtype that broadcasts with the labels.
        axis: Axis of the vectors, counted in the broadcast shape.
        weights: Tensor or number that broadcasts to the shape of the distances and does not enlarge it.
            Differentiable. A weight of 0 excludes its row, even if the row has NaN: the row adds 0 to the
            loss and its gradient is 0.
        reduction: "none"; "sum"; "mean", over the number of vectors; "weighted_mean", over the sum of the
            weights; "nonzero_mean", over the number of weights that are not 0. A mean over nothing is 0, with
            gradient 0.
        assume_normalized: Compute the distance as 1 - <labels, predictions>, which is correct for unit
            vectors only.

    Returns:
        A scalar, or the weighted distances for "none", of the dtype of labels and predictions. The loss has
        no eps: a zero vector has distance 1 and gradient 0.

    Raises:
        ValueError: The reduction is unknown, shapes do not fit, or the axis does not exist. If shapes are
            unknown during tracing, the run raises a `tf.errors.InvalidArgumentError` instead.
        TypeError: An argument has a complex or another unsupported dtype, or the dtypes differ.

    Example:
        >>> labels, predictions = [[1.0, 4.0, 5.0], [5.0, 5.0, 7.0]], [[3.0, 2.0, 5.0], [3.0, 2.0, 7.0]]
        >>> print(cosine_distance_loss(labels, predictions).numpy())
        0.0771687
        >>> print(cosine_distance_loss(labels, predictions, assume_normalized=True).numpy())  # they are not
        -54.0
    """
    spec.check_reduction(reduction)
    names = ("labels", "predictions")
    if not assume_normalized:
        D = cosine(DISTANCE, names, labels, predictions, axis, skip_zero=weights is not None)
        return reduced(D, None if weights is None else _weights(weights, D), reduction)
    x, y = as_pair(names, labels, predictions)
    dtype = promoted(labels, predictions)
    shape = broadcast(names, x, y)
    axis = check_axis(axis, shape.rank)
    if weights is None:
        return reduced(tf.cast(_closed.unit_distance(x, y, axis, None), dtype), None, reduction)
    with tf.name_scope("shape"):
        D = tf.cast(tf.stop_gradient(_closed.unit_distance(x, y, axis, None)), dtype)
    D.set_shape(without_axis(shape, axis))
    w = _weights(weights, D)
    D = tf.cast(_closed.unit_distance(x, y, axis, tf.broadcast_to(w, tf.shape(D))), dtype)
    return reduced(D, w, reduction)


@plain
def cosine_embedding_loss(
    x1: Any, x2: Any, target: Any, *, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    r"""Return the mean of the losses: D if the target is +1, and max(0, S - margin) if it is -1.

    Args:
        x1: Tensor (N, D), (D,) or of any other batch shape; the vectors are along the last axis.
        x2: Tensor of the same dtype that broadcasts with x1.
        target: Tensor of +1 and -1, of a real dtype other than bool, that broadcasts to the shape of the
            losses and does not enlarge it. Another value raises an error if values are available. In a graph
            they are not available: a row with another value then has loss NaN.
        margin: Similarity up to which a pair with target -1 has loss 0.
        reduction: As in `cosine_distance_loss`, with all weights 1.

    Returns:
        A scalar, or the losses for "none", of the dtype of x1 and x2.

    Raises:
        ValueError: The target has a value other than +1 and -1, or as `cosine_distance_loss`.
        TypeError: The target is boolean, or as `cosine_distance_loss`.

    Example:
        >>> x1, x2 = [[3.0, 4.0], [3.0, 4.0]], [[4.0, 3.0], [4.0, 3.0]]
        >>> print(cosine_embedding_loss(x1, x2, [1, -1], margin=0.5, reduction="none").numpy().round(6))
        [0.04 0.46]
    """
    spec.check_reduction(reduction)
    S, D = cosine(BOTH, ("x1", "x2"), x1, x2, -1)
    t = _real("target", target, S)
    if t.dtype.is_bool:
        raise FRONTEND.refuse_dtype("target", t.dtype.name, "of numbers: tf.where(target, 1, -1)")
    check_fits("target", t, D.shape)
    if tf.executing_eagerly():
        spec.check_target(t.numpy())
    m = tf.cast(_real("margin", margin, S), S.dtype)
    zero = tf.zeros((), S.dtype)
    t = _fitted(t, D)
    negative = tf.zeros_like(t, tf.bool) if t.dtype.is_unsigned else t == tf.cast(-1, t.dtype)
    apart = tf.where(m >= S, zero, S - m)
    nan = tf.constant(math.nan, S.dtype)
    losses = tf.where(t == tf.cast(1, t.dtype), D, tf.where(negative, apart, nan))
    return reduced(losses, None, reduction)


def reduced(losses: Any, weights: Any, reduction: str) -> Any:
    """Reduce the losses. If shapes are unknown, the numbers of losses and weights are tensors."""
    if losses.shape.is_fully_defined() and (weights is None or weights.shape.is_fully_defined()):
        return spec.reduce(OPS, losses, weights, reduction)
    n = tf.cast(tf.maximum(tf.size(losses), 1), tf.float64 if losses.dtype == tf.float64 else widest())
    return spec.reduce(OPS, losses, weights, reduction, (n, n))


def _real(name: str, t: Any, losses: Any) -> Any:
    """Return weights or targets as a tensor. Python numbers get a wider dtype than a half type."""
    t = as_dense(name, t, wide(losses.dtype))
    check_real(name, t.dtype)
    return t


def _weights(weights: Any, losses: Any) -> Any:
    w = _real("weights", weights, losses)
    check_fits("weights", w, losses.shape)
    return _fitted(w, losses)


def _fitted(t: Any, losses: Any) -> Any:
    """Return a tensor that does not enlarge the losses. Unknown shapes are checked at run time."""
    known = t.shape.is_fully_defined() and losses.shape.is_fully_defined()
    return t if known else tf.broadcast_to(t, tf.shape(losses))
