"""The public losses `cosine_distance_loss` and `cosine_embedding_loss`."""

import math

import torch
from torch import Tensor

from cosgrad import formulas, spec
from cosgrad.closed import BOTH, DISTANCE
from cosgrad.torch._arguments import FRONTEND, as_promoted, check_device, check_tensor, pair
from cosgrad.torch._autocast import for_loss
from cosgrad.torch._native import batch_shape
from cosgrad.torch._numbers import as_tensor
from cosgrad.torch._ops import OPS, served_by_onnx
from cosgrad.torch._rule import (
    intercepted,
    is_distributed,
    kept,
    recorded,
    refuse_empty_vmap,
    traced,
    transformed,
    watched,
)
from cosgrad.torch._rules import PlainMean
from cosgrad.torch._similarity import cosine, overridden, overrides, plain_rule
from cosgrad.torch._targets import as_target, check_target, comparable


def cosine_distance_loss(
    labels: Tensor,
    predictions: Tensor,
    *,
    dim: int = -1,
    weights: Tensor | float | None = None,
    reduction: str = "mean",
    assume_normalized: bool = False,
) -> Tensor:
    r"""Return the mean of the cosine distances D = 1 - S of labels and predictions.

    Args:
        labels: Tensor of any shape and strides, of dtype float16, bfloat16, float32 or float64.
        predictions: Tensor that broadcasts with the labels.
        dim: Dimension of the vectors.
        weights: Tensor or number that broadcasts to the shape of the distances, which is the broadcast shape
            without `dim`. It must not enlarge this shape. The loss is differentiable with respect to it. A
            weight of 0 excludes its row, even if the row has NaN: the row adds 0 to the loss, and its
            gradient is 0.
        reduction: "none"; "sum"; "mean" divides the sum by the number of vectors; "weighted_mean" divides it
            by the sum of the weights; "nonzero_mean" divides it by the number of weights that are not 0. A
            mean whose divisor is 0 is 0, with gradient 0.
        assume_normalized: Compute the distance as 1 - <labels, predictions>. This is correct for unit vectors
            only.

    Returns:
        A scalar, or the weighted distances for "none". The dtype is the promoted dtype of labels and
        predictions, or float32 for half types under autocast. The loss uses no eps: a zero vector has
        distance 1 and gradient 0.

    Raises:
        ValueError: The reduction is unknown; the shapes do not fit or the tensors are on two devices (also a
            `RuntimeError`); dim is out of range (also an `IndexError`).
        TypeError: An argument is not a tensor, or is complex, or neither labels nor predictions are floating
            (also a `RuntimeError`).

    Example:
        >>> import torch
        >>> labels = torch.tensor([[1.0, 4, 5], [5, 5, 7]])
        >>> predictions = torch.tensor([[3.0, 2, 5], [3, 2, 7]])
        >>> cosine_distance_loss(labels, predictions, dim=1)
        tensor(0.0772)
    """
    if overrides(labels, predictions, weights):
        return overridden(
            cosine_distance_loss,
            (labels, predictions, weights),
            labels,
            predictions,
            dim=dim,
            weights=weights,
            reduction=reduction,
            assume_normalized=assume_normalized,
        )
    spec.check_reduction(reduction)
    refuse_empty_vmap()
    names = ("labels", "predictions")
    labels, predictions = for_loss(labels), for_loss(predictions)
    if assume_normalized:
        D, w = _unit_distance(names, labels, predictions, dim, weights)
        return reduced(D, w, reduction)
    if weights is None and reduction != "none" and _recorded(labels, predictions):
        how = plain_rule(DISTANCE, labels, predictions, dim, 0.0, False)
        if how is not None:
            count = 1 if reduction == "sum" else labels.numel() // labels.shape[how.axis]
            loss: Tensor = PlainMean.apply(labels, predictions, how, count)
            return loss
    D = cosine(DISTANCE, names, labels, predictions, dim, 0.0, skip_zero=weights is not None)
    return reduced(D, None if weights is None else _weights(weights, D), reduction)


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, *, reduction: str = "mean"
) -> Tensor:
    r"""Return the mean of D where the target is +1, and of max(0, S - margin) where it is -1.

    It can replace `torch.nn.functional.cosine_embedding_loss`. Unlike PyTorch, it adds no eps to a norm: zero
    vectors have S = 0, D = 1 and gradient 0.

    Args:
        input1: Tensor (N, D), (D,) or of any other batch shape. The vectors are along the last dimension.
        input2: Tensor that broadcasts with `input1`.
        target: Tensor of +1 and -1, of a real dtype other than bool. It must broadcast to the shape of the
            losses and must not enlarge it. Other values raise an error if the function can read them. It
            cannot read them under a transform or a compiler: there the loss of a row with another value is
            NaN.
        margin: A pair with target -1 has loss 0 if its similarity is at most the margin.
        reduction: As in `cosine_distance_loss`, with all weights 1.

    Returns:
        A scalar, or the losses for "none". The dtype is the promoted dtype of `input1` and `input2`, or
        float32 under autocast.

    Raises:
        ValueError: The target has other values than +1 and -1, or for the same reasons as
            `cosine_distance_loss`.
        TypeError: The target is boolean or complex, or for the same reasons as `cosine_distance_loss`.

    Example:
        >>> import torch
        >>> x1, x2 = torch.tensor([[3.0, 4.0], [3.0, 4.0]]), torch.tensor([[4.0, 3.0], [4.0, 3.0]])
        >>> cosine_embedding_loss(x1, x2, torch.tensor([1, -1]), margin=0.5, reduction="none")
        tensor([0.0400, 0.4600])
    """
    tensors = (input1, input2, target)
    if overrides(*tensors):
        return overridden(
            cosine_embedding_loss, tensors, input1, input2, target, margin=margin, reduction=reduction
        )
    spec.check_reduction(reduction)
    refuse_empty_vmap()
    t = as_target(target)
    S, D = cosine(BOTH, ("input1", "input2"), for_loss(input1), for_loss(input2), -1, 0.0)
    FRONTEND.check_fits("target", tuple(target.shape), tuple(D.shape))
    check_device(("target", "input1"), target, input1)
    if _visible(target):
        check_target(target)
    s = served_by_onnx(S)
    apart = torch.where(margin >= s, 0, s - margin)
    losses = torch.where(t == 1, served_by_onnx(D), torch.where(t == -1, apart, math.nan)).to(D.dtype)
    return reduced(losses, None, reduction)


def reduced(losses: Tensor, weights: Tensor | None, reduction: str) -> Tensor:
    wide = served_by_onnx(losses)
    result: Tensor = spec.reduce(OPS, wide, weights, reduction)
    return result if wide is losses else result.to(losses.dtype)


def _unit_distance(
    names: tuple[str, str], x: Tensor, y: Tensor, dim: int, weights: Tensor | float | None
) -> tuple[Tensor, Tensor | None]:
    """Return 1 - <x, y> and the weights.

    If a weight of 0 excludes a row that is not finite, its distance is NaN and its derivatives are 0.
    """
    given = x, y
    x, y, axis = pair(names, x, y, dim)
    x, y = kept(x, y)
    if weights is None:
        return as_promoted(formulas.unit_distance(OPS, x, y, axis).squeeze(axis), *given), None
    shape = batch_shape(x, y, axis)
    w = _weights(weights, x.new_empty(()).expand(shape))
    finite = formulas.finite(OPS, x, axis) & formulas.finite(OPS, y, axis)
    excluded = (w.expand(shape).unsqueeze(axis) == 0) & ~finite
    x, y = torch.where(excluded, 0, x), torch.where(excluded, 0, y)
    D = torch.where(excluded, float("nan"), formulas.unit_distance(OPS, x, y, axis)).squeeze(axis)
    return as_promoted(D, *given), w


def _weights(weights: Tensor | float | None, losses: Tensor) -> Tensor:
    if not isinstance(weights, Tensor):
        wide = OPS.widen(losses.new_empty(()))  # a half type would round the number
        if isinstance(weights, int | float):
            weights = as_tensor(weights, wide)
        else:
            weights = torch.as_tensor(weights, dtype=wide.dtype, device=losses.device)
    check_tensor("weights", weights)
    if weights.is_complex():
        raise FRONTEND.refuse_dtype("weights", weights.dtype, "real")
    weights = comparable(weights)
    FRONTEND.check_fits("weights", tuple(weights.shape), tuple(losses.shape))
    check_device(("weights", "labels"), weights, losses)
    saved: Tensor = kept(weights)[0]
    return saved


def _recorded(x: object, y: object) -> bool:
    return isinstance(x, Tensor) and isinstance(y, Tensor) and recorded(x, y) and x.numel() > 0


def _visible(target: Tensor) -> bool:
    if traced() or transformed() or intercepted() or target.is_meta:
        return False
    return is_distributed(target) or not watched(target)
