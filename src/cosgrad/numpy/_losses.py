"""The losses: distances with weights and a reduction."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cosgrad import formulas, spec
from cosgrad.numpy._arrays import FRONTEND, OPS, Array, aligned, as_array, as_pair, keeping_subnormals
from cosgrad.numpy._similarity import both, distance


@keeping_subnormals
def cosine_distance_loss(
    labels: ArrayLike,
    predictions: ArrayLike,
    *,
    axis: int = -1,
    weights: ArrayLike | None = None,
    reduction: str = "mean",
    assume_normalized: bool = False,
) -> Any:
    r"""Return the mean of the cosine distances D = 1 - S of labels and predictions.

    Args:
        labels: Anything that `np.asarray` takes, as in `cosine_similarity`.
        predictions: Array that broadcasts with the labels.
        axis: Axis of the vectors, counted in the broadcast shape.
        weights: Array or number that broadcasts to the shape of the distances and does not enlarge it. A
            weight of 0 excludes its row, even if the row has NaN.
        reduction: "none"; "sum"; "mean", over the number of vectors; "weighted_mean", over the sum of the
            weights; "nonzero_mean", over the number of weights that are not 0. A mean over nothing is 0.
        assume_normalized: Compute the distance as 1 - <labels, predictions>, which is correct for unit
            vectors only.

    Returns:
        A scalar, or the weighted distances for "none", of the promoted dtype of labels and predictions. The
        loss has no eps: a zero vector has distance 1.

    Raises:
        ValueError: The reduction is unknown, shapes do not fit, or the axis does not exist.
        TypeError: An argument is masked, or has a complex or another unsupported dtype.

    Example:
        >>> labels, predictions = [[1.0, 4.0, 5.0], [5.0, 5.0, 7.0]], [[3.0, 2.0, 5.0], [3.0, 2.0, 7.0]]
        >>> print(round(float(cosine_distance_loss(labels, predictions)), 10))
        0.0771687015
        >>> float(cosine_distance_loss(labels, predictions, assume_normalized=True))  # they are not
        -54.0
    """
    spec.check_reduction(reduction)
    names = ("labels", "predictions")
    if assume_normalized:
        D = _unit_distance(names, labels, predictions, axis)
    else:
        D = distance(names, labels, predictions, axis)
    w = None
    if weights is not None:
        w = as_array("weights", weights)
        FRONTEND.check_fits("weights", w.shape, D.shape)
    return reduced(D, w, reduction)


@keeping_subnormals
def cosine_embedding_loss(
    x1: ArrayLike, x2: ArrayLike, target: ArrayLike, *, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    r"""Return the mean of the losses: D if the target is +1, and max(0, S - margin) if it is -1.

    Args:
        x1: Array (N, D), (D,) or of any other batch shape; the vectors are along the last axis.
        x2: Array that broadcasts with x1.
        target: Array of +1 and -1, of a real dtype other than bool, that broadcasts to the shape of the
            losses and does not enlarge it.
        margin: Similarity up to which a pair with target -1 has loss 0.
        reduction: As in `cosine_distance_loss`, with all weights 1.

    Returns:
        A scalar, or the losses for "none", of the promoted dtype of x1 and x2.

    Raises:
        ValueError: The target has a value other than +1 and -1, or as `cosine_distance_loss`.
        TypeError: The target is boolean, or as `cosine_distance_loss`.

    Example:
        >>> x1, x2 = [[3.0, 4.0], [3.0, 4.0]], [[4.0, 3.0], [4.0, 3.0]]
        >>> cosine_embedding_loss(x1, x2, [1, -1], margin=0.5, reduction="none")
        array([0.04, 0.46])
    """
    spec.check_reduction(reduction)
    S, D = both(("x1", "x2"), x1, x2)
    t = as_array("target", target)
    FRONTEND.check_fits("target", t.shape, D.shape)
    if t.dtype == np.bool_:
        raise FRONTEND.refuse_dtype("target", t.dtype, "of numbers: np.where(target, 1, -1)")
    spec.check_target(t)
    losses = np.where(t > 0, D, np.where(margin >= S, 0, S - np.asarray(margin, S.dtype))).astype(S.dtype)
    return reduced(losses, None, reduction)


def _unit_distance(names: tuple[str, str], labels: ArrayLike, predictions: ArrayLike, axis: int) -> Array:
    x, y, axis, batch = as_pair(names[0], labels, names[1], predictions, axis)
    rank = len(batch) + 1
    with np.errstate(all="ignore"):
        D: Array = formulas.unit_distance(OPS, aligned(x, rank), aligned(y, rank), axis)
    return D.squeeze(axis)


def reduced(losses: Array, weights: Array | None, reduction: str) -> Any:
    with np.errstate(all="ignore"):
        return np.asarray(spec.reduce(OPS, losses, weights, reduction))[()]
