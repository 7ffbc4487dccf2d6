"""The cosine: similarity, distance, losses and their derivatives, right to the last bit and at memory speed.

The functions here select the frontend by the type of their arguments, with one set of defaults for all. A
framework that the caller has not imported is not imported.
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
        x: NumPy array (or what NumPy makes one of), JAX array, or tensor of PyTorch or TensorFlow.
        y: Array of the same framework that broadcasts with x.
        axis: Axis of the vectors.
        eps: Floor of each norm, at least 0. With 0, a zero vector has similarity 0.
        keepdims: Keep the axis, with length 1.

    Returns:
        An array of the broadcast shape without the axis, of the promoted dtype.

    Raises:
        ValueError: eps is negative or NaN, the shapes do not broadcast, or the axis does not exist.
        TypeError: The arguments are of two frameworks, or of a dtype that is not served.

    Example:
        >>> float(cosine_similarity([3.0, 4.0], [4.0, 3.0]))
        0.96
    """
    return _cosine("cosine_similarity", x, y, axis, eps, keepdims)


def cosine_distance(x: Any, y: Any, *, axis: int = -1, eps: float = 0.0, keepdims: bool = False) -> Any:
    """Return D = 1 - S, exact where x and y nearly agree, in the framework of the arguments.

    Args:
        x: As in `cosine_similarity`.
        y: As in `cosine_similarity`.
        axis: Axis of the vectors.
        eps: Floor of each norm, at least 0. With 0, a zero vector has distance 1.
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
        x: NumPy array (or what NumPy makes one of), JAX array, or tensor of PyTorch or TensorFlow.
        axis: Axis of the vectors.
        eps: Floor of the norm, at least 0. A zero vector stays zero.

    Returns:
        An array of the shape of x.

    Raises:
        ValueError: eps is negative or NaN, or the axis does not exist.
        TypeError: x is of a dtype that is not served.

    Example:
        >>> normalize([3.0, 4.0])
        array([0.6, 0.8])
    """
    one = _dispatch.common(x=x)
    return one.frontend().normalize(x, **{one.axis: axis, "eps": eps})


def pairwise_cosine_similarity(x: Any, y: Any = None) -> Any:
    """Return the matrix of the similarities of all rows of x with all rows of y, by the matrix product.

    Args:
        x: Array (..., N, D): NumPy's, JAX's, or a tensor of PyTorch or TensorFlow.
        y: Array (..., M, D) of the same framework; x itself if not given.

    Returns:
        An array (..., N, M) within [-1, 1]. If y is x or not given, the diagonal is exactly 1.

    Raises:
        ValueError: x or y has less than two axes, or shapes do not fit.
        TypeError: The arguments are of two frameworks, or of a dtype that is not served.

    Example:
        >>> pairwise_cosine_similarity([[3.0, 4.0]], [[4.0, 3.0], [-3.0, -4.0]])
        array([[ 0.96, -1.  ]])
    """
    return _pairwise("pairwise_cosine_similarity", x, y)


def pairwise_cosine_distance(x: Any, y: Any = None) -> Any:
    """Return the matrix of the distances 1 - S of all rows of x from all rows of y, by the matrix product.

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
        labels: NumPy array (or what NumPy makes one of), JAX array, or tensor of PyTorch or TensorFlow.
        predictions: Array of the same framework that broadcasts with the labels.
        axis: Axis of the vectors.
        weights: What broadcasts to the shape of the distances without enlarging it. A zero excludes its row.
        reduction: "none", "sum", "mean" (over the number of vectors), "weighted_mean" (over the sum of the
            weights) or "nonzero_mean" (over the number of weights that are not 0).
        assume_normalized: Take 1 - <labels, predictions> for the distance: right for unit vectors only.

    Returns:
        A scalar, or the weighted distances for "none".

    Raises:
        ValueError: The reduction is none of these, shapes do not fit, or the axis does not exist.
        TypeError: The arguments are of two frameworks, or of a dtype that is not served.

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
    """Return the mean of D where the target is +1 and of max(0, S - margin) where it is -1.

    Args:
        x1: NumPy array (or what NumPy makes one of), JAX array, or tensor of PyTorch or TensorFlow;
            the vectors are along the last axis.
        x2: Array of the same framework that broadcasts with x1.
        target: Array of +1 and -1 that broadcasts to the shape of the losses without enlarging it.
        margin: Similarity up to which a pair with target -1 costs nothing.
        reduction: As in `cosine_distance_loss`.

    Returns:
        A scalar, or the losses for "none".

    Raises:
        ValueError: The target holds something else, or as `cosine_distance_loss`.
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

    The matrix of the similarities never exists. Over many devices there are `group=` in
    `cosgrad.torch.contrastive_loss` and `axis_name=` in `cosgrad.jax.contrastive_loss`.

    Args:
        x: Array (N, D) of PyTorch or JAX.
        y: Array (M, D) of the same; without labels its row i is the positive of row i of x.
        labels_x: Labels (N,): the positives of a row are all rows of y that have its label.
        labels_y: Labels (M,).
        ignore: Booleans (N, M): pairs that are neither positive nor negative.
        temperature: What the similarities are divided by, above 0; it has a gradient.
        symmetric: Take half of this loss and half of the same for the columns.

    Returns:
        The loss, of rank 0.

    Raises:
        ValueError: The shapes do not fit, or the temperature is not above 0.
        TypeError: The arguments are of two frameworks, or of one that has no such loss.

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
    """Return SimCLR's loss of two views, or the supervised contrastive loss where labels are given.

    Args:
        z: Array (2N, D) of PyTorch or JAX: all of the first view, then all of the second.
        labels: Labels (2N,): the positives of a row are all others that have its label.
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
    """Return SigLIP's loss: every pair is classified for itself, with the logit scale S + bias.

    Args:
        x: Array (N, D) of PyTorch or JAX.
        y: Array (M, D) of the same; its row i is the positive of row i of x.
        scale: Number, or array of one element, which has a gradient.
        bias: The same.

    Returns:
        The sum over all pairs, divided by N.

    Raises:
        ValueError: The shapes do not fit, or scale or bias are not finite.
        TypeError: As `contrastive_loss`.

    Example:
        >>> import torch
        >>> sigmoid_contrastive_loss(torch.eye(2), torch.eye(2))
        tensor(0.6932)
    """
    frontend = _dispatch.with_function("sigmoid_contrastive_loss", x=x, y=y)
    return frontend.sigmoid_contrastive_loss(x, y, scale=scale, bias=bias)
