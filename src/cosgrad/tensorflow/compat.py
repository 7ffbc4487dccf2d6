"""TensorFlow 1's loss, with its signature and its conventions."""

from typing import Any

import tensorflow as tf

from cosgrad import formulas
from cosgrad.tensorflow._arguments import as_dense, check_real, plain
from cosgrad.tensorflow._ops import OPS

__all__ = ["cosine_distance"]


@plain
def cosine_distance(
    labels: Any,
    predictions: Any,
    axis: int | None = None,
    weights: Any = 1.0,
    scope: str | None = None,
    loss_collection: str | None = "losses",
    reduction: str = "weighted_sum_by_nonzero_weights",
    dim: int | None = None,
) -> Any:
    r"""Return the weighted loss 1 - <labels, predictions>, as `tf.compat.v1.losses.cosine_distance`.

    It is the distance of unit vectors only, and nothing normalises them; what does is
    `cosgrad.tensorflow.cosine_distance_loss`. The products are summed in float64 and rounded once.

    Args:
        labels: Tensor of unit vectors, taken as float32.
        predictions: Tensor of the same shape, taken as float32.
        axis: Axis of the vectors. The losses keep it, with length 1.
        weights: Tensor of the rank of the losses, each length 1 or theirs; or a scalar.
        scope: Name of the operations.
        loss_collection: Collection of a TensorFlow 1 graph to which the loss is added; none eagerly.
        reduction: One of `tf.compat.v1.losses.Reduction`.
        dim: The old name of `axis`.

    Returns:
        A float32 scalar, or for "none" the weighted losses.

    Raises:
        ValueError: There is no axis, or two; labels or predictions are None; shapes do not fit; or there is
            no such reduction.
        TypeError: An argument is complex or of another dtype that is not real.

    Example:
        >>> labels, predictions = [[1.0, 4.0, 5.0], [5.0, 5.0, 7.0]], [[3.0, 2.0, 5.0], [3.0, 2.0, 7.0]]
        >>> print(cosine_distance(labels, predictions, axis=1).numpy())  # they are no unit vectors
        -54.0
    """
    if axis is not None and dim is not None:
        raise ValueError(f"axis={axis} and its old name dim={dim} are both given, give axis only")
    axis = dim if axis is None else axis
    if axis is None:
        raise ValueError("axis=None must be an integer")
    for name, argument in (("labels", labels), ("predictions", predictions)):
        if argument is None:
            raise ValueError(f"{name}=None must be a tensor")
    with tf.name_scope(scope or "cosine_distance_loss"):
        x, y = _real("labels", labels), _real("predictions", predictions)
        weights = weights if weights is None else _real("weights", weights)  # None is TensorFlow's error
        x.shape.assert_is_compatible_with(y.shape)
        losses = formulas.unit_distance(OPS, x, y, axis)
        return tf.compat.v1.losses.compute_weighted_loss(
            losses, weights, scope, loss_collection, reduction=reduction
        )


def _real(name: str, x: Any) -> Any:
    """Return x as float32, after a check that the cast drops no imaginary part."""
    t = as_dense(name, x, tf.float32)
    check_real(name, t.dtype)
    return tf.cast(t, tf.float32)
