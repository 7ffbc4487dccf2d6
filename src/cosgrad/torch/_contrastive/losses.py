"""The contrastive losses and their arguments."""

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

    S is the matrix of the cosine similarities of the rows of x with those of y, which never exists: memory is
    that of x and y and some tiles, in the forward and in the backward. Symmetric it is CLIP's loss, else that
    of dense retrieval (MultipleNegativesRankingLoss). Where a derivative is wanted, the forward computes it
    as well.

    Args:
        x: Tensor (N, D) of float16, bfloat16, float32 or float64. It need not be normalised.
        y: Tensor (M, D). Without labels its row i is the positive of row i of x, and all others are
            negatives; so M >= N, and M = N if symmetric.
        labels_x: Tensor (N,). With labels the positives of row i are all rows of y that have its label; with
            several, the term is the mean of their -log softmax. A row without a positive does not count.
        labels_y: Tensor (M,).
        ignore: Boolean tensor (N, M); a pair that is True is neither positive nor negative.
        temperature: A number above 0, or a tensor of one element, which has its exact gradient.
        symmetric: Take half of this loss and half of the same for the columns.
        group: A group of `torch.distributed` whose ranks bring their rows of x and y, as many as they like.
            Every rank returns the loss of the whole batch; the blocks of y travel in a ring. A row's positive
            is of its own rank if there are no labels; `ignore` has the columns of all ranks, in their order.
        gradient_scale: What a rank's gradients are, with a group. "mean": those whose mean over the ranks is
            that of the whole batch's loss, as `DistributedDataParallel` takes it. "sum": those whose sum is.

    Returns:
        The loss, of rank 0 and the promoted dtype of x and y; sums are taken in float32 or wider.

    Raises:
        ValueError: The shapes do not fit, the temperature is not above 0 and finite, only one of the labels
            is given, or the gradient scale is unknown.
        TypeError: An argument is no tensor, or of a dtype that is not served.
        RuntimeError: Another rank of the group refused its arguments, has others, or is gone.

    Derivatives of higher order, forward mode and `torch.func` take the formula on the whole matrix, and its
    memory. They are not served with a group.

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
    r"""Return SimCLR's loss of two views, or the supervised contrastive loss where labels are given.

    It is the InfoNCE loss of z with itself, where no row is compared with itself. See `contrastive_loss`.

    Args:
        z: Tensor (2N, D): the first view of all N, then the second; row i is the positive of row i + N and
            the other way round. With a group each rank brings both views of its own.
        labels: Tensor (2N,): the positives of a row are all others that have its label. The number of rows
            may then be odd.
        temperature: A number above 0, or a tensor of one element.
        group: As in `contrastive_loss`.
        gradient_scale: As in `contrastive_loss`.

    Returns:
        The loss, of rank 0 and the dtype of z.

    Raises:
        ValueError: As `contrastive_loss`; or the number of rows is odd.
        TypeError: As `contrastive_loss`.
        RuntimeError: As `contrastive_loss`.

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
    r"""Return SigLIP's loss: every pair is classified for itself, with the logit l_ij = scale S_ij + bias.

    The sum of log(1 + exp(-l_ii)) over the positives and of log(1 + exp(l_ij)) over all other pairs, divided
    by N. See `contrastive_loss`.

    Args:
        x: Tensor (N, D), which need not be normalised.
        y: Tensor (M, D) with M >= N; its row i is the positive of row i of x.
        scale: A finite number, or a tensor of one element, which has its exact gradient.
        bias: The same.
        group: As in `contrastive_loss`.
        gradient_scale: As in `contrastive_loss`.

    Returns:
        The loss, of rank 0 and the promoted dtype of x and y.

    Raises:
        ValueError: The shapes do not fit, or scale or bias are not finite.
        TypeError: As `contrastive_loss`.
        RuntimeError: As `contrastive_loss`.

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
    """Return the loss in the dtype of tensors of the promoted dtype: integers are computed in wider ones."""
    if x.dtype is y.dtype:
        return loss
    return loss.to(loss_dtype(torch.promote_types(x.dtype, y.dtype), x.device.type))


def loss_of_group(function: Callable[..., Tensor], *arguments: Any, **options: Any) -> Tensor:
    """Call a loss."""
    return function(*arguments, **options)


# A loss over a group breaks the graph of a compiler: ranks talk to each other in it. Unlike
# `torch.compiler.disable`, this imports the compiler at the first call only, which a compiler makes.
_apart: Callable[..., Tensor] = torch._compile._disable_dynamo(loss_of_group)


def _loss(
    x: Tensor,
    checked: Callable[[], Arguments],
    group: dist.ProcessGroup | None,
    gradient_scale: str,
) -> Tensor:
    """Return the loss of the arguments that `checked` returns, if all ranks find theirs to be right."""
    refuse_empty_vmap()
    if group is None:
        check_gradient_scale(gradient_scale)
        arguments = checked()
        return contrastive(*arguments, Ring(None, [_columns(arguments).shape[0]]))
    device = x.device if isinstance(x, Tensor) else torch.device("cpu")
    try:
        check_gradient_scale(gradient_scale)
        arguments = checked()
    except (TypeError, ValueError):
        agreed(group, device, None)  # the others are waiting
        raise
    sizes = agreed(
        group, device, facts(*arguments) | {"gradient_scale": GRADIENT_SCALES.index(gradient_scale)}
    )
    return contrastive(*arguments, Ring(group, sizes, averaged=gradient_scale == "mean"))


def _columns(arguments: Arguments) -> Tensor:
    x, y, *_ = arguments
    return x if y is None else y
