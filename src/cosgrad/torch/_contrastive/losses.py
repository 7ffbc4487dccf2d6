"""The public contrastive losses, and the checks of their arguments."""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from cosgrad.spec import check_labels
from cosgrad.torch._arguments import (
    FLOATS,
    FRONTEND,
    check_device,
    check_tensor,
    promote,
    refuse_dtype,
)
from cosgrad.torch._autocast import loss_dtype
from cosgrad.torch._contrastive.arguments import (
    GRADIENT_SCALES,
    Arguments,
    Labels,
    check_gradient_scale,
    check_ignore,
    check_labels_of,
    facts,
    reciprocal_of,
    same_integers,
    scalar,
)
from cosgrad.torch._contrastive.function import contrastive
from cosgrad.torch._contrastive.problem import Options
from cosgrad.torch._contrastive.ring import Ring, agreed
from cosgrad.torch._rule import refuse_empty_vmap
from cosgrad.torch._similarity import overridden, overrides


def contrastive_loss(
    x: Tensor,
    y: Tensor,
    *,
    labels_x: Tensor | None = None,
    labels_y: Tensor | None = None,
    ignore: Tensor | None = None,
    temperature: float | Tensor = 0.07,
    symmetric: bool = True,
    group: dist.ProcessGroup | None = None,
    gradient_scale: str = "mean",
) -> Tensor:
    r"""Return the InfoNCE loss, -log softmax_j(S_ij / temperature) of the positives, averaged over the rows.

    S is the matrix of the cosine similarities of the rows of x with the rows of y. The loss never stores this
    matrix: the forward and the backward pass need memory for x, y and a few tiles only. With `symmetric` the
    loss is CLIP's. Without it, the loss is that of dense retrieval (MultipleNegativesRankingLoss). If
    autograd needs the gradient, the forward pass computes it together with the loss.

    Args:
        x: Tensor (N, D) of float16, bfloat16, float32 or float64. It need not be normalised.
        y: Tensor (M, D). Without labels, row i of y is the positive of row i of x, and all other rows are
            negatives. So M >= N, and M = N if symmetric.
        labels_x: Tensor (N,). With labels, the positives of row i are all rows of y that have its label. The
            term of a row with several positives is the mean of their -log softmax. A row without a positive
            is left out of the average.
        labels_y: Tensor (M,).
        ignore: Boolean tensor (N, M). A pair that is True is neither positive nor negative.
        temperature: A number above 0, or a tensor of one element. The gradient of the tensor is exact.
        symmetric: Use the mean of this loss and the same loss of the columns.
        group: A group of `torch.distributed`. Each rank passes its own rows of x and y, and their number may
            differ between ranks. Every rank returns the loss of the whole batch. The blocks of y are sent
            around a ring of the ranks. Without labels, the positive of a row is on the same rank. `ignore`
            has the columns of all ranks, in the order of the ranks.
        gradient_scale: The scale of the gradients of a rank, with a group. With "mean", their mean over the
            ranks is the gradient of the loss of the whole batch, as `DistributedDataParallel` needs it. With
            "sum", their sum is this gradient.

    Returns:
        The loss, a tensor of shape () and of the promoted dtype of x and y. Sums are computed in float32 or
        wider.

    Raises:
        ValueError: The shapes do not fit, the temperature is not above 0 and finite, only one of the labels
            is given, or the gradient scale is unknown.
        TypeError: An argument is not a tensor, or its dtype is not supported.
        RuntimeError: Another rank of the group raised an error for its arguments, has different options, or
            has exited.

    Derivatives of higher order, forward mode and `torch.func` compute the formula on the whole matrix and
    need its memory. They are not supported with a group.

    Example:
        >>> import torch
        >>> x = torch.tensor([[3.0, 4.0], [1.0, 0.0]], requires_grad=True)
        >>> loss = contrastive_loss(x, torch.tensor([[4.0, 3.0], [1.0, -1.0]]), temperature=0.5)
        >>> loss.backward()
        >>> loss.detach(), x.grad
        (tensor(0.4023), tensor([[ 0.0085, -0.0064],
                [ 0.0000,  0.5380]]))
    """
    if group is not None and torch.compiler.is_compiling():
        return _apart(
            contrastive_loss,
            *(x, y),
            labels_x=labels_x,
            labels_y=labels_y,
            ignore=ignore,
            temperature=temperature,
            symmetric=symmetric,
            group=group,
            gradient_scale=gradient_scale,
        )
    if overrides(x, y):
        options = {"labels_x": labels_x, "labels_y": labels_y, "ignore": ignore, "temperature": temperature}
        rest = {"symmetric": symmetric, "group": group, "gradient_scale": gradient_scale}
        return overridden(contrastive_loss, (x, y), x, y, **options, **rest)

    def checked() -> Arguments:
        labels: Labels = (None, None)
        a, b = promote(("x", "y"), x, y)
        check_device(("x", "y"), a, b)
        FRONTEND.check_contrastive(
            tuple(a.shape), tuple(b.shape), check_labels(labels_x, labels_y), symmetric
        )
        if labels_x is not None and labels_y is not None:
            labels = same_integers(
                check_labels_of("labels_x", labels_x, "x", a), check_labels_of("labels_y", labels_y, "y", b)
            )
        if ignore is not None:
            check_ignore(ignore, a, None if group is not None else b.shape[0])
        options = Options(symmetric, False, *labels, ignore)
        return a, b, reciprocal_of(temperature, a), None, options

    return _promoted(_loss(x, checked, group, gradient_scale), x, y)


def nt_xent_loss(
    z: Tensor,
    labels: Tensor | None = None,
    *,
    temperature: float | Tensor = 0.07,
    group: dist.ProcessGroup | None = None,
    gradient_scale: str = "mean",
) -> Tensor:
    r"""Return SimCLR's loss of two views, or the supervised contrastive loss if labels are given.

    It is the InfoNCE loss of z with itself, except that no row is compared with itself. See
    `contrastive_loss`.

    Args:
        z: Tensor (2N, D) with the first views of all N samples, then the second views. Row i is the positive
            of row i + N, and row i + N is the positive of row i. With a group, each rank passes both views of
            its own samples.
        labels: Tensor (2N,). The positives of a row are all other rows that have its label. With labels, the
            number of rows may be odd.
        temperature: A number above 0, or a tensor of one element.
        group: As in `contrastive_loss`.
        gradient_scale: As in `contrastive_loss`.

    Returns:
        The loss, a tensor of shape () and of the dtype of z.

    Raises:
        ValueError: For the same reasons as `contrastive_loss`; or the number of rows is odd without labels.
        TypeError: For the same reasons as `contrastive_loss`.
        RuntimeError: For the same reasons as `contrastive_loss`.

    Example:
        >>> import torch
        >>> views = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1], [0.1, 1.0]])
        >>> nt_xent_loss(views, temperature=0.5)
        tensor(0.2899)
    """
    options = {"temperature": temperature, "group": group, "gradient_scale": gradient_scale}
    if group is not None and torch.compiler.is_compiling():
        return _apart(nt_xent_loss, z, labels, **options)
    if overrides(z):
        return overridden(nt_xent_loss, (z,), z, labels, **options)

    def checked() -> Arguments:
        check_tensor("z", z)
        if z.dtype not in FLOATS:
            raise refuse_dtype("z", z, "floating")
        FRONTEND.check_views(tuple(z.shape), labels is not None)
        given: Labels = (None, None)
        if labels is not None:
            own = check_labels_of("labels", labels, "z", z)
            given = same_integers(own, own)
        return z, None, reciprocal_of(temperature, z), None, Options(False, True, *given)

    return _loss(z, checked, group, gradient_scale)


def sigmoid_contrastive_loss(
    x: Tensor,
    y: Tensor,
    *,
    scale: float | Tensor = 10.0,
    bias: float | Tensor = -10.0,
    group: dist.ProcessGroup | None = None,
    gradient_scale: str = "mean",
) -> Tensor:
    r"""Return SigLIP's loss: each pair is classified separately, with the logit l_ij = scale S_ij + bias.

    The loss is the sum of log(1 + exp(-l_ii)) over the positives and of log(1 + exp(l_ij)) over all other
    pairs, divided by N. See `contrastive_loss`.

    Args:
        x: Tensor (N, D). It need not be normalised.
        y: Tensor (M, D) with M >= N. Row i of y is the positive of row i of x.
        scale: A finite number, or a tensor of one element. The gradient of the tensor is exact.
        bias: A finite number, or a tensor of one element. The gradient of the tensor is exact.
        group: As in `contrastive_loss`.
        gradient_scale: As in `contrastive_loss`.

    Returns:
        The loss, a tensor of shape () and of the promoted dtype of x and y.

    Raises:
        ValueError: The shapes do not fit, or scale or bias is not finite.
        TypeError: For the same reasons as `contrastive_loss`.
        RuntimeError: For the same reasons as `contrastive_loss`.

    Example:
        >>> import torch
        >>> sigmoid_contrastive_loss(torch.eye(2), torch.tensor([[3.0, 4.0], [4.0, 3.0]]))
        tensor(4.1451)
    """
    options = {"scale": scale, "bias": bias, "group": group, "gradient_scale": gradient_scale}
    if group is not None and torch.compiler.is_compiling():
        return _apart(sigmoid_contrastive_loss, x, y, **options)
    if overrides(x, y):
        return overridden(sigmoid_contrastive_loss, (x, y), x, y, **options)

    def checked() -> Arguments:
        a, b = promote(("x", "y"), x, y)
        check_device(("x", "y"), a, b)
        FRONTEND.check_contrastive(tuple(a.shape), tuple(b.shape), labels=False, symmetric=False)
        return a, b, scalar("scale", scale, a), scalar("bias", bias, a), Options()

    return _promoted(_loss(x, checked, group, gradient_scale), x, y)


def _promoted(loss: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the loss in the dtype that belongs to the promoted dtype of x and y.

    The cast is needed because integers are computed in a wider dtype.
    """
    if x.dtype is y.dtype:
        return loss
    return loss.to(loss_dtype(torch.promote_types(x.dtype, y.dtype), x.device.type))


def loss_of_group(function: Callable[..., Tensor], *arguments: Any, **options: Any) -> Tensor:
    """Call a loss with these arguments."""
    return function(*arguments, **options)


# A loss over a group breaks the graph of a compiler, because the ranks exchange messages in it. Unlike
# `torch.compiler.disable`, `_disable_dynamo` does not import the compiler before the first call, and only
# compiled code calls this function.
_apart: Callable[..., Tensor] = torch._compile._disable_dynamo(loss_of_group)


def _loss(
    x: Tensor,
    checked: Callable[[], Arguments],
    group: dist.ProcessGroup | None,
    gradient_scale: str,
) -> Tensor:
    """Return the loss of the arguments that `checked` returns, if the arguments of all ranks are valid."""
    refuse_empty_vmap()
    if group is None:
        check_gradient_scale(gradient_scale)
        arguments = checked()
        return contrastive(*arguments, Ring(None, [_columns(arguments).shape[0]]))
    device = x.device if isinstance(x, Tensor) else torch.device("cpu")
    try:
        check_gradient_scale(gradient_scale)
        arguments = checked()
    except Exception:  # any error, for the others would wait until the timeout
        agreed(group, device, None)
        raise
    sizes = agreed(
        group, device, facts(*arguments) | {"gradient_scale": GRADIENT_SCALES.index(gradient_scale)}
    )
    return contrastive(*arguments, Ring(group, sizes, averaged=gradient_scale == "mean"))


def _columns(arguments: Arguments) -> Tensor:
    x, y, *_ = arguments
    return x if y is None else y
