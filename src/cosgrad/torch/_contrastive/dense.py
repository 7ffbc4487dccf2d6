"""The same losses as formulas on the whole matrix, in operations that every transform supports.

They are used where tiles cannot be: derivatives of higher order, `torch.func`, forward mode, and export to
ONNX. The code reads numbers of rows from `shape`, because `len` and `max` would make the numbers of the
example constants in an exported graph.
"""

from typing import Any

import torch
from torch import Tensor

from cosgrad.torch import _similarity
from cosgrad.torch._contrastive.problem import LARGE, Options, full_dtype
from cosgrad.torch._rule import bound_for_onnx, intercepted, traced, without_autocast


def softmax(x: Tensor, y: Tensor | None, scale: Tensor, options: Options) -> Tensor:
    """Return the same loss as `softmax.loss`."""
    dtype, scale = _working(x, scale)
    x = x.to(dtype)  # one cast: if y is x, its two gradients are added in this dtype
    y = x if y is None else y.to(dtype)
    positive, negative = _kinds(x, y, options)
    if not options.symmetric:
        x = _where(positive.any(1), x)  # a row without a positive is excluded, even if NaN
    if options.ignore is not None:
        x, y = _where(~options.ignore.all(1), x), _where(~options.ignore.all(0), y)
    S = _similarities(x, y)
    loss = _mean(S, positive, negative, scale, options)
    if options.symmetric:
        loss = loss / 2 + _mean(S.mT, positive.mT, negative.mT, scale, options) / 2
    return loss


def sigmoid(x: Tensor, y: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Return the same loss as `sigmoid.loss`."""
    dtype, scale, bias = _working(x, scale, bias)
    S = _similarities(x.to(dtype), y.to(dtype))
    logits = S * scale + bias
    own = torch.ones_like(S, dtype=torch.bool).tril().triu()
    signed = torch.where(own, -logits, logits)
    return _softplus(signed).sum() / own.sum().clamp(min=1)


def _working(x: Tensor, *scalars: Tensor) -> tuple[Any, ...]:
    """Return the dtype to compute in, and the scalars in this dtype.

    The dtype is the widest one if a scalar is known to be large. The value of a scalar is unknown if it is
    compiled or mapped by `vmap`. So every scalar is clamped, and no logit overflows.
    """
    dtype = scalars[0].dtype if any(_known(t) > LARGE for t in scalars) else full_dtype(x)
    if bound_for_onnx():  # its exporter cannot write the bounds of float64
        return dtype, *(t.to(dtype) for t in scalars)
    most = torch.finfo(dtype).max / 8
    return dtype, *(t.clamp(-most, most).to(dtype) for t in scalars)


def _known(t: Tensor) -> float:
    """Return the magnitude of a scalar, or 0 if its value cannot be read."""
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(t):
        if functorch.is_batchedtensor(t):
            return 0.0
        t = functorch.get_unwrapped(t)
    return 0.0 if traced() or intercepted() or t.is_meta else abs(t.item())


def _where(counts: Tensor, x: Tensor) -> Tensor:
    """Return x with zeros in the rows that are excluded, so that values and derivatives ignore them."""
    return torch.where(counts[:, None], x, 0)


def _similarities(x: Tensor, y: Tensor) -> Tensor:
    u, v = (_similarity.normalize(t, dim=1, eps=0.0) for t in (x, y))
    with without_autocast(x.device):
        return u @ v.mT


def _kinds(x: Tensor, y: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    shape = x.shape[0], y.shape[0]
    rows, columns = (torch.arange(n, device=x.device) for n in shape)
    counts = torch.ones(shape, dtype=torch.bool, device=x.device)
    if options.itself:
        counts = rows[:, None] != columns
    if options.ignore is not None:
        counts = counts & ~options.ignore
    if options.labels_x is not None and options.labels_y is not None:
        positive = options.labels_x[:, None] == options.labels_y
    elif options.itself:
        positive = (rows[:, None] - columns).abs() == x.shape[0] // 2
    else:
        positive = rows[:, None] == columns
    return positive & counts, ~positive & counts


def _mean(S: Tensor, positive: Tensor, negative: Tensor, scale: Tensor, options: Options) -> Tensor:
    """Return the mean of softplus(LN - LP) + (LP - mean z) over the rows that have a positive.

    The largest similarity is subtracted before the multiplication by the scale, and no logarithm of 0 is
    computed. So every derivative is finite, also if a row has no negatives or if its logits are far apart.
    """
    has = positive.any(1)
    top, total = _exponentials(S, negative, scale)
    if options.labels_x is None:
        best, number = torch.where(positive, S, 0).sum(1), torch.ones_like(total)
        spread = torch.zeros_like(total)
    else:
        best, number = _exponentials(S, positive, scale)
        number = torch.where(has, number, 1)
        mean = torch.where(positive, S, 0).sum(1) / positive.sum(1).clamp(min=1)
        spread = number.log() + (best - mean) * scale
    alone = ~has | (total == 0)  # false if total is NaN
    odds = (top - best) * scale + (torch.where(alone, 1, total) / number).log()
    losses = torch.where(alone, 0, _softplus(torch.where(alone, 0, odds))) + spread
    return torch.where(has, losses, 0).sum() / has.sum().clamp(min=1)


def _exponentials(S: Tensor, kind: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each row the largest S where `kind` is true, and the sum of exp((S - largest) scale) there.

    The largest S is differentiated too. Its own exponent is then 0 with all derivatives, so that no terms of
    the size of the squared scale have to cancel in a second derivative.
    """
    least = -2.0  # below every similarity
    masked = torch.where(kind, S.detach(), least - 1)
    padded = torch.nn.functional.pad(masked, (0, 1), value=least)  # a column for rows without an entry
    place = padded.argmax(1, keepdim=True)
    top = torch.nn.functional.pad(S, (0, 1), value=least).gather(1, place)
    below = torch.where(kind, S - top, 0)
    return top.squeeze(1), torch.where(kind, (below * scale).exp(), 0).sum(1)


def _softplus(t: Tensor) -> Tensor:
    """Return log(1 + exp(t)), with derivatives of every order that have a small relative error.

    From the second order on, the derivatives of `torch.logaddexp` are NaN for t below -88.
    `torch.nn.functional.softplus` returns t itself above 20.
    """
    above = t > 0
    return torch.where(above, t, 0) + torch.where(above, -t, t).exp().log1p()
