"""Cosine similarity, distance and losses with their derivatives, for several frameworks.

On the CPU, similarities and distances are within 0.501 ulp and are computed at memory speed.

The functions here select the frontend by the type of their arguments. Their defaults are the same for all
frameworks. They never import a framework that the caller has not imported.
"""

from importlib.metadata import version
from typing import Any, Final

from cosgrad import _dispatch

__version__: Final = version("cosgrad")

__all__ = [
    "__version__",
    "contrastive_loss",
    "cosine_distance",
    "cosine_distance_loss",
    "cosine_embedding_loss",
    "cosine_similarity",
    "normalize",
    "nt_xent_loss",
    "pairwise_cosine_distance",
    "pairwise_cosine_similarity",
    "sigmoid_contrastive_loss",
]


def cosine_similarity(x: Any, y: Any, *, axis: int = -1, eps: float = 0.0, keepdims: bool = False) -> Any:
    """Return S = <x, y> / (max(|x|, eps) max(|y|, eps)), in the framework of the arguments.

    Args:
        x: NumPy array (or anything that `np.asarray` takes), JAX array, or tensor of PyTorch or TensorFlow.
        y: Array of the same framework that broadcasts with x.
        axis: Axis of the vectors.
        eps: Lower bound of each norm, at least 0. With 0, a zero vector has similarity 0.
        keepdims: Keep the axis, with length 1.

    Returns:
        An array of the broadcast shape without the axis, of the promoted dtype.

    Raises:
        ValueError: eps is negative or NaN, the shapes do not broadcast, or the axis does not exist.
        TypeError: The arguments belong to two frameworks, or have an unsupported dtype.

    Example:
        >>> float(cosine_similarity([3.0, 4.0], [4.0, 3.0]))
        0.96
    """
    return _cosine("cosine_similarity", x, y, axis, eps, keepdims)


def cosine_distance(x: Any, y: Any, *, axis: int = -1, eps: float = 0.0, keepdims: bool = False) -> Any:
    """Return D = 1 - S, accurate also if x and y are nearly parallel, in the framework of the arguments.

    Args:
        x: As in `cosine_similarity`.
        y: As in `cosine_similarity`.
        axis: Axis of the vectors.
        eps: Lower bound of each norm, at least 0. With 0, a zero vector has distance 1.
        keepdims: Keep the axis, with length 1.

    Returns:
        An array of the broadcast shape without the axis, of the promoted dtype.

    Raises:
        ValueError: As `cosine_similarity`.
        TypeError: As `cosine_similarity`.

    Example:
        >>> float(cosine_distance([3.0, 4.0], [4.0, 3.0]))
        0.04
    """
    return _cosine("cosine_distance", x, y, axis, eps, keepdims)


def _cosine(function: str, x: Any, y: Any, axis: int, eps: float, keepdims: bool) -> Any:
    one = _dispatch.common(x=x, y=y)
    return getattr(one.frontend(), function)(x, y, **{one.axis: axis, "eps": eps, one.keep: keepdims})


def normalize(x: Any, *, axis: int = -1, eps: float = 0.0) -> Any:
    """Return x / max(|x|, eps), in the framework of the argument.

    Args:
        x: NumPy array (or anything that `np.asarray` takes), JAX array, or tensor of PyTorch or TensorFlow.
        axis: Axis of the vectors.
        eps: Lower bound of the norm, at least 0. A zero vector stays zero.

    Returns:
        An array of the shape of x.

    Raises:
        ValueError: eps is negative or NaN, or the axis does not exist.
        TypeError: x has an unsupported dtype.

    Example:
        >>> normalize([3.0, 4.0])
        array([0.6, 0.8])
    """
    one = _dispatch.common(x=x)
    return one.frontend().normalize(x, **{one.axis: axis, "eps": eps})


def pairwise_cosine_similarity(x: Any, y: Any = None) -> Any:
    """Compute the similarities of all rows of x with all rows of y by a matrix product.

    Args:
        x: NumPy array, JAX array, or tensor of PyTorch or TensorFlow, of shape (..., N, D).
        y: Array (..., M, D) of the same framework; x itself if not given.

    Returns:
        An array (..., N, M) within [-1, 1]. If y is x or not given, the diagonal is exactly 1.

    Raises:
        ValueError: x or y has fewer than two axes, or shapes do not fit.
        TypeError: The arguments belong to two frameworks, or have an unsupported dtype.

    Example:
        >>> pairwise_cosine_similarity([[3.0, 4.0]], [[4.0, 3.0], [-3.0, -4.0]])
        array([[ 0.96, -1.  ]])
    """
    return _pairwise("pairwise_cosine_similarity", x, y)


def pairwise_cosine_distance(x: Any, y: Any = None) -> Any:
    """Compute the distances 1 - S of all rows of x from all rows of y by a matrix product.

    Args:
        x: As in `pairwise_cosine_similarity`.
        y: As in `pairwise_cosine_similarity`.

    Returns:
        An array (..., N, M) within [0, 2]. If y is x or not given, the diagonal is exactly 0.

    Raises:
        ValueError: As `pairwise_cosine_similarity`.
        TypeError: As `pairwise_cosine_similarity`.

    Example:
        >>> pairwise_cosine_distance([[1.0, 0.0]], [[0.0, 2.0], [-1.0, 0.0]])
        array([[1., 2.]])
    """
    return _pairwise("pairwise_cosine_distance", x, y)


def _pairwise(function: str, x: Any, y: Any) -> Any:
    one = _dispatch.common(x=x) if y is None else _dispatch.common(x=x, y=y)
    return getattr(one.frontend(), function)(x, y)


def cosine_distance_loss(
    labels: Any,
    predictions: Any,
    *,
    axis: int = -1,
    weights: Any = None,
    reduction: str = "mean",
    assume_normalized: bool = False,
) -> Any:
    """Return the mean of the cosine distances of labels and predictions, in the framework of the arguments.

    Args:
        labels: NumPy array (or anything that `np.asarray` takes), JAX array, or tensor of PyTorch or
            TensorFlow.
        predictions: Array of the same framework that broadcasts with the labels.
        axis: Axis of the vectors.
        weights: Array or number that broadcasts to the shape of the distances without enlarging it. A weight
            of 0 excludes its row.
        reduction: "none", "sum", "mean" (over the number of vectors), "weighted_mean" (over the sum of the
            weights) or "nonzero_mean" (over the number of weights that are not 0).
        assume_normalized: Compute the distance as 1 - <labels, predictions>, which is correct for unit
            vectors only.

    Returns:
        A scalar, or the weighted distances for "none".

    Raises:
        ValueError: The reduction is unknown, shapes do not fit, or the axis does not exist.
        TypeError: The arguments belong to two frameworks, or have an unsupported dtype.

    Example:
        >>> labels, predictions = [[1.0, 4.0, 5.0], [5.0, 5.0, 7.0]], [[3.0, 2.0, 5.0], [3.0, 2.0, 7.0]]
        >>> loss = cosine_distance_loss(labels, predictions)
        >>> print(round(float(loss), 7))
        0.0771687
    """
    one = _dispatch.common(labels=labels, predictions=predictions)
    return one.frontend().cosine_distance_loss(
        labels,
        predictions,
        **{one.axis: axis},
        weights=weights,
        reduction=reduction,
        assume_normalized=assume_normalized,
    )


def cosine_embedding_loss(
    x1: Any, x2: Any, target: Any, *, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    """Return the mean of the losses: D if the target is +1, and max(0, S - margin) if it is -1.

    Args:
        x1: NumPy array (or anything that `np.asarray` takes), JAX array, or tensor of PyTorch or TensorFlow;
            the vectors are along the last axis.
        x2: Array of the same framework that broadcasts with x1.
        target: Array of +1 and -1 that broadcasts to the shape of the losses without enlarging it.
        margin: Similarity up to which a pair with target -1 has loss 0.
        reduction: As in `cosine_distance_loss`.

    Returns:
        A scalar, or the losses for "none".

    Raises:
        ValueError: The target has a value other than +1 and -1, or as `cosine_distance_loss`.
        TypeError: As `cosine_distance_loss`.

    Example:
        >>> float(cosine_embedding_loss([3.0, 4.0], [4.0, 3.0], 1))
        0.04
    """
    frontend = _dispatch.common(x1=x1, x2=x2, target=target).frontend()
    return frontend.cosine_embedding_loss(x1, x2, target, margin=margin, reduction=reduction)


def contrastive_loss(
    x: Any,
    y: Any,
    *,
    labels_x: Any = None,
    labels_y: Any = None,
    ignore: Any = None,
    temperature: Any = 0.07,
    symmetric: bool = True,
) -> Any:
    """Return the InfoNCE loss of the similarities of all rows of x and y, in the framework of the arguments.

    The whole matrix of similarities is never in memory. For several devices, use the argument `group` of
    `cosgrad.torch.contrastive_loss` or `axis_name` of `cosgrad.jax.contrastive_loss`.

    Args:
        x: Array (N, D) of PyTorch or JAX.
        y: Array (M, D) of the same framework. Without labels, its row i is the positive of row i of x.
        labels_x: Labels (N,). The positives of a row of x are all rows of y with the same label.
        labels_y: Labels (M,) of the rows of y.
        ignore: Booleans (N, M). A pair with True is neither positive nor negative.
        temperature: Divisor of the similarities, greater than 0. It has a gradient.
        symmetric: Return the mean of the loss over the rows and the loss over the columns.

    Returns:
        The loss, of rank 0.

    Raises:
        ValueError: The shapes do not fit, or the temperature is not greater than 0.
        TypeError: The arguments belong to two frameworks, or to a framework without this loss.

    Example:
        >>> import torch
        >>> contrastive_loss(torch.eye(2), torch.eye(2), temperature=1.0)
        tensor(0.3133)
    """
    frontend = _dispatch.with_function("contrastive_loss", x=x, y=y)
    labels = {"labels_x": labels_x, "labels_y": labels_y}
    return frontend.contrastive_loss(
        x, y, **labels, ignore=ignore, temperature=temperature, symmetric=symmetric
    )


def nt_xent_loss(z: Any, labels: Any = None, *, temperature: Any = 0.07) -> Any:
    """Return SimCLR's loss of two views, or the supervised contrastive loss if labels are given.

    Args:
        z: Array (2N, D) of PyTorch or JAX: all rows of the first view, then all rows of the second.
        labels: Labels (2N,). The positives of a row are all other rows with the same label.
        temperature: As in `contrastive_loss`.

    Returns:
        The loss, of rank 0.

    Raises:
        ValueError: As `contrastive_loss`, or the number of rows is odd.
        TypeError: As `contrastive_loss`.

    Example:
        >>> import torch
        >>> nt_xent_loss(torch.eye(2).repeat(2, 1), temperature=1.0)
        tensor(0.5514)
    """
    return _dispatch.with_function("nt_xent_loss", z=z).nt_xent_loss(z, labels, temperature=temperature)


def sigmoid_contrastive_loss(x: Any, y: Any, *, scale: Any = 10.0, bias: Any = -10.0) -> Any:
    """Return SigLIP's loss: a binary classification of every pair, with the logit scale S + bias.

    Args:
        x: Array (N, D) of PyTorch or JAX.
        y: Array (M, D) of the same framework. Its row i is the positive of row i of x.
        scale: Number, or array of one element. An array has a gradient.
        bias: Number, or array of one element. An array has a gradient.

    Returns:
        The sum over all pairs, divided by N.

    Raises:
        ValueError: The shapes do not fit, or scale or bias is not finite.
        TypeError: As `contrastive_loss`.

    Example:
        >>> import torch
        >>> sigmoid_contrastive_loss(torch.eye(2), torch.eye(2))
        tensor(0.6932)
    """
    frontend = _dispatch.with_function("sigmoid_contrastive_loss", x=x, y=y)
    return frontend.sigmoid_contrastive_loss(x, y, scale=scale, bias=bias)
