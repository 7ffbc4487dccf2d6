"""The losses: distances with weights and a reduction."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from cosgrad import formulas, spec
from cosgrad.closed import BOTH, DISTANCE
from cosgrad.jax._arguments import FRONTEND, as_array, as_floats, as_pair
from cosgrad.jax._ops import OPS
from cosgrad.jax._similarity import cosine


def cosine_distance_loss(
    labels: ArrayLike,
    predictions: ArrayLike,
    *,
    axis: int = -1,
    weights: ArrayLike | None = None,
    reduction: str = "mean",
    assume_normalized: bool = False,
) -> Array:
    r"""Return the mean of the cosine distances D = 1 - S of labels and predictions.

    Args:
        labels: Array of any shape, as in `cosine_similarity`.
        predictions: Array that broadcasts with the labels.
        axis: Axis of the vectors, counted in the broadcast shape.
        weights: Array or number that broadcasts to the shape of the distances and does not enlarge it.
            Differentiable. A weight of 0 excludes its row, even if the row has NaN: the row adds 0 to the
            loss and its gradient is 0.
        reduction: "none"; "sum"; "mean", over the number of vectors; "weighted_mean", over the sum of the
            weights; "nonzero_mean", over the number of weights that are not 0. A mean over nothing is 0.
        assume_normalized: Compute the distance as 1 - <labels, predictions>, which is correct for unit
            vectors only.

    Returns:
        A scalar, or the weighted distances for "none", of the promoted dtype of labels and predictions. The
        loss has no eps: a zero vector has distance 1 and gradient 0.

    Raises:
        ValueError: The reduction is unknown, shapes do not fit, or the axis does not exist.
        TypeError: An argument is not an array, or has a complex or another unsupported dtype.

    Example:
        >>> import jax.numpy as jnp
        >>> labels = jnp.array([[1.0, 4, 5], [5, 5, 7]])
        >>> predictions = jnp.array([[3.0, 2, 5], [3, 2, 7]])
        >>> print(f"{cosine_distance_loss(labels, predictions):.7f}")
        0.0771687
    """
    spec.check_reduction(reduction)
    names = ("labels", "predictions")
    if assume_normalized:
        D, w = _unit_distance(names, labels, predictions, axis, weights)
    else:
        D = cosine(DISTANCE, names, labels, predictions, axis, skip_zero=weights is not None)
        w = None if weights is None else _weights(weights, D.shape)
    return reduced(D, w, reduction)


def cosine_embedding_loss(
    x1: ArrayLike, x2: ArrayLike, target: ArrayLike, *, margin: float = 0.0, reduction: str = "mean"
) -> Array:
    r"""Return the mean of the losses: D if the target is +1, and max(0, S - margin) if it is -1.

    Args:
        x1: Array (N, D), (D,) or of any other batch shape; the vectors are along the last axis.
        x2: Array that broadcasts with x1.
        target: Array of +1 and -1, of a real dtype other than bool, that broadcasts to the shape of the
            losses and does not enlarge it. Another value raises an error if values are available. Under a
            transform they are not available: a row with another value then has loss NaN.
        margin: Similarity up to which a pair with target -1 has loss 0.
        reduction: As in `cosine_distance_loss`, with all weights 1.

    Returns:
        A scalar, or the losses for "none", of the promoted dtype of x1 and x2.

    Raises:
        ValueError: The target has a value other than +1 and -1, or as `cosine_distance_loss`.
        TypeError: The target is boolean, or as `cosine_distance_loss`.

    Example:
        >>> import jax.numpy as jnp
        >>> x1, x2 = jnp.array([[3.0, 4.0], [3.0, 4.0]]), jnp.array([[4.0, 3.0], [4.0, 3.0]])
        >>> losses = cosine_embedding_loss(x1, x2, jnp.array([1, -1]), margin=0.5, reduction="none")
        >>> [f"{float(loss):.2f}" for loss in losses]
        ['0.04', '0.46']
    """
    spec.check_reduction(reduction)
    S, D = cosine(BOTH, ("x1", "x2"), x1, x2, -1)
    t = as_array("target", target)
    dtype = jnp.result_type(t)
    if dtype == jnp.bool_:
        raise FRONTEND.refuse_dtype("target", dtype, "of numbers: jnp.where(target, 1, -1)")
    FRONTEND.check_fits("target", jnp.shape(t), D.shape)
    if not isinstance(t, Tracer) and getattr(t, "is_fully_addressable", True):
        spec.check_target(np.asarray(t))  # NumPy operations are not traced
    t = jnp.asarray(t)
    negative = jnp.zeros_like(t, bool) if jnp.issubdtype(dtype, jnp.unsignedinteger) else t == -1
    apart = jnp.where(margin >= S, 0, S - jnp.asarray(margin, S.dtype))
    losses = jnp.where(t == 1, D, jnp.where(negative, apart, jnp.nan))
    return reduced(losses, None, reduction)


def _unit_distance(
    names: tuple[str, str], labels: Any, predictions: Any, axis: int, weights: Any
) -> tuple[Array, Array | None]:
    """Return 1 - <x, y> and the weights. An excluded row that is not finite is NaN, with derivative 0."""
    x, y, axis, batch, dtype = as_pair(names[0], labels, names[1], predictions, axis)
    if weights is None:
        return formulas.unit_distance(OPS, x, y, axis).squeeze(axis).astype(dtype), None
    w = _weights(weights, batch)
    finite = formulas.finite(OPS, x, axis) & formulas.finite(OPS, y, axis)
    excluded = (jnp.expand_dims(jnp.broadcast_to(w, batch), axis) == 0) & ~finite
    x, y = jnp.where(excluded, 0, x), jnp.where(excluded, 0, y)
    D = jnp.where(excluded, jnp.nan, formulas.unit_distance(OPS, x, y, axis)).squeeze(axis)
    return D.astype(dtype), w


def _weights(weights: Any, batch: spec.Shape) -> Array:
    (w,) = as_floats(as_array("weights", weights))
    FRONTEND.check_fits("weights", w.shape, batch)
    return w


def reduced(losses: Array, weights: Array | None, reduction: str) -> Array:
    result: Array = spec.reduce(OPS, losses, weights, reduction)
    return result
