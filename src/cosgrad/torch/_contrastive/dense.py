"""The same losses as formulas on the whole matrix, in operations that every transform understands.

They serve what tiles cannot: derivatives of higher order, `torch.func`, forward mode, and export to ONNX: so
numbers of rows are those of `shape`, since `len` and `max` would fix them to those of the example.
"""

import torch
from torch import Tensor

from cosgrad.torch import _similarity
from cosgrad.torch._contrastive.problem import Options, full_dtype
from cosgrad.torch._rule import without_autocast


def softmax(x: Tensor, y: Tensor | None, scale: Tensor, options: Options) -> Tensor:
    """Return the loss of `softmax.loss`."""
    z = _similarities(x, x if y is None else y) * scale.to(full_dtype(x))
    positive, negative = _kinds(z, options)
    loss = _mean(z, positive, negative)
    if options.symmetric:
        loss = (loss + _mean(z.mT, positive.mT, negative.mT)) / 2
    return loss


def sigmoid(x: Tensor, y: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Return the loss of `sigmoid.loss`."""
    S = _similarities(x, y)
    logits = S * scale.to(S.dtype) + bias.to(S.dtype)
    own = torch.ones_like(S, dtype=torch.bool).tril().triu()
    signed = torch.where(own, -logits, logits)
    return torch.logaddexp(signed, torch.zeros_like(signed)).sum() / own.sum().clamp(min=1)


def _similarities(x: Tensor, y: Tensor) -> Tensor:
    u, v = (_similarity.normalize(t.to(full_dtype(t)), dim=1, eps=0.0) for t in (x, y))
    with without_autocast(x.device):
        return u @ v.mT


def _kinds(z: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    rows, columns = (torch.arange(n, device=z.device) for n in z.shape)
    counts = torch.ones_like(z, dtype=torch.bool)
    if options.itself:
        counts = rows[:, None] != columns
    if options.ignore is not None:
        counts = counts & ~options.ignore
    if options.labels_x is not None and options.labels_y is not None:
        positive = options.labels_x[:, None] == options.labels_y
    elif options.itself:
        positive = (rows[:, None] - columns).abs() == z.shape[0] // 2
    else:
        positive = rows[:, None] == columns
    return positive & counts, ~positive & counts


def _mean(z: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Return the mean of softplus(LN - LP) + (LP - mean z) over the rows that have a positive."""
    nothing = torch.finfo(z.dtype).min / 8  # far below every logit, and its derivatives are 0, not NaN
    LN, LP = (torch.logsumexp(torch.where(kind, z, nothing), 1) for kind in (negative, positive))
    count = positive.sum(1)
    has = count > 0
    mean = torch.where(positive, z, 0).sum(1) / count.clamp(min=1)
    odds = torch.where(has, LN - LP, 0)
    losses = torch.logaddexp(odds, torch.zeros_like(odds)) + (LP - mean)
    return torch.where(has, losses, 0).sum() / has.sum().clamp(min=1)
