"""The workloads of matrices: similarities of all pairs of rows, and losses of these matrices."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

import cosgrad.torch
from contest import Contest, Rival
from cosgrad.bench.timing import Work
from cosgrad.torch._contrastive.tiles import fast_bfloat16
from workloads import loss_and_gradients, tensors, workload

TEMPERATURE = 0.07


@workload("pairwise-forward", "matrix of similarities, 4096x4096x768 float32")
def pairwise_forward() -> Contest:
    x, y = tensors(4096, 768)
    return Contest(
        lambda: cosgrad.torch.pairwise_cosine_similarity(x, y),
        {"bare torch.mm": Rival(lambda: torch.mm(x, y.T), 1 / 1.1, comparable=False)},
    )


@workload("pairwise-backward", "the same, forward+backward")
def pairwise_backward() -> Contest:
    x, y = tensors(4096, 768, grad=True)
    g, _ = tensors(4096, 4096)

    def bare() -> tuple[Tensor, ...]:
        with torch.no_grad():
            return torch.mm(x, y.T), torch.mm(g, y), torch.mm(g.T, x)

    return Contest(
        lambda: torch.autograd.grad(cosgrad.torch.pairwise_cosine_similarity(x, y), (x, y), g),
        {"its three products, bare": Rival(bare, 1 / 1.15, comparable=False)},
    )


def all_pairs(similarity: Callable[..., Tensor], x: Tensor, y: Tensor) -> Callable[[], Tensor]:
    """Return the usual way to compute the similarities of all pairs: by broadcasting."""
    return lambda: similarity(x[:, None], y[None], dim=-1)


@workload("all-pairs-forward", "similarity(x[:, None], y[None]), 1000x1000x768 float32")
def all_pairs_forward() -> Contest:
    x, y = tensors(1000, 768)
    return Contest(
        all_pairs(cosgrad.torch.cosine_similarity, x, y),
        {"PyTorch eager": Rival(all_pairs(F.cosine_similarity, x, y), 300.0)},
    )


@workload("all-pairs-backward", "the same, forward+backward, 500x500x768 float32")
def all_pairs_backward() -> Contest:
    x, y = tensors(500, 768, grad=True)

    def sums(similarity: Callable[..., Tensor]) -> Work:
        do = all_pairs(similarity, x, y)
        return lambda: torch.autograd.grad(do().sum(), (x, y))

    return Contest(
        sums(cosgrad.torch.cosine_similarity), {"PyTorch eager": Rival(sums(F.cosine_similarity), 300.0)}
    )


def dense(x: Tensor, y: Tensor) -> Tensor:
    """Return the symmetric contrastive loss, computed in plain PyTorch."""
    z = F.normalize(x) @ F.normalize(y).T / TEMPERATURE
    own = torch.arange(len(x))
    return (F.cross_entropy(z, own) + F.cross_entropy(z.T, own)) / 2


def tiled(x: Tensor, y: Tensor) -> Tensor:
    """Return cosgrad's symmetric contrastive loss."""
    return cosgrad.torch.contrastive_loss(x, y, temperature=TEMPERATURE)


@workload("contrastive-float32", "symmetric contrastive loss, forward+backward, 8192x512 float32")
def contrastive_float32() -> Contest:
    torch._dynamo.reset()
    x, y = tensors(8192, 512, grad=True)
    compiled = torch.compile(dense, fullgraph=True, dynamic=False)
    return Contest(
        loss_and_gradients(tiled, x, y),
        {
            "PyTorch eager": Rival(loss_and_gradients(dense, x, y), 2.0),
            "torch.compile": Rival(loss_and_gradients(compiled, x, y), 1 / 1.4),
        },
    )


@workload("contrastive-256", "the same with 256x512, which are multiplied in float64")
def contrastive_256() -> Contest:
    x, y = tensors(256, 512, grad=True)
    return Contest(loss_and_gradients(tiled, x, y), {"PyTorch eager": Rival(loss_and_gradients(dense, x, y))})


@workload("contrastive-1024", "the same with 1024x512")
def contrastive_1024() -> Contest:
    x, y = tensors(1024, 512, grad=True)
    return Contest(loss_and_gradients(tiled, x, y), {"PyTorch eager": Rival(loss_and_gradients(dense, x, y))})


@workload("contrastive-bfloat16", "the same in bfloat16, 8192x512")
def contrastive_bfloat16() -> Contest:
    x, y = tensors(8192, 512, dtype=torch.bfloat16, grad=True)
    a, b = (t.detach().float().requires_grad_() for t in (x, y))
    target = 1.3 if fast_bfloat16(x.device) else None  # only for processors that multiply bfloat16 faster
    return Contest(
        loss_and_gradients(tiled, x, y),
        {
            "cosgrad float32": Rival(loss_and_gradients(tiled, a, b), target),
            "PyTorch eager": Rival(loss_and_gradients(dense, x, y)),
        },
    )


@workload("sigmoid-float32", "sigmoid contrastive loss, forward+backward, 8192x512 float32")
def sigmoid_float32() -> Contest:
    x, y = tensors(8192, 512, grad=True)

    def formula(x: Tensor, y: Tensor) -> Tensor:
        logits = 10 * F.normalize(x) @ F.normalize(y).T - 10
        return -F.logsigmoid(logits * (2 * torch.eye(len(x)) - 1)).sum() / len(x)

    return Contest(
        loss_and_gradients(cosgrad.torch.sigmoid_contrastive_loss, x, y),
        {"PyTorch eager": Rival(loss_and_gradients(formula, x, y))},
    )
