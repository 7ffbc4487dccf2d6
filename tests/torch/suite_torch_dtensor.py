"""Tests of the functions on DTensors.

`test_torch_dtensor.py` starts this once per rank, on gloo and loopback:

    python suite_torch_dtensor.py RANK RANKS RENDEZVOUS SEED

Every rank also computes the whole batch by itself with plain tensors, which is the expected result.
"""

import datetime
import sys
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

import cosgrad.torch as C

assert "torch.distributed.tensor" not in sys.modules, "cosgrad imports DTensor, which is slow"

import pytest  # noqa: E402
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh  # noqa: E402
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor  # noqa: E402

R, S0, S1, S2, P = Replicate(), Shard(0), Shard(1), Shard(2), Partial("sum")
N, WIDTH = 10, 6  # 10 rows on 4 ranks: 3, 3, 3, 1


@dataclass
class Layout:
    """Two operands and their placements, and the expected placements of S and of the gradients in x and y."""

    x: tuple[int, ...]
    y: tuple[int, ...]
    on_x: list[Any]
    on_y: list[Any]
    out: list[Any]
    grads: tuple[list[Any], list[Any]]
    dim: int = -1


LINE = [
    Layout((N, WIDTH), (N, WIDTH), [S0], [S0], [S0], ([S0], [S0])),
    Layout((N, WIDTH), (N, WIDTH), [S0], [R], [S0], ([S0], [S0])),
    Layout((N, WIDTH), (N, WIDTH), [R], [R], [R], ([R], [R])),
    Layout((5, WIDTH), (5, WIDTH), [S0], [S0], [S0], ([S0], [S0])),  # the last rank of four has no row
    Layout((N, WIDTH), (1, WIDTH), [S0], [R], [S0], ([S0], [P])),
    Layout((N, WIDTH), (1, WIDTH), [S0], [S0], [S0], ([S0], [P])),
    Layout((WIDTH,), (N, WIDTH), [R], [S0], [S0], ([P], [S0])),
    Layout((N, 1, WIDTH), (1, 7, WIDTH), [S0], [S1], [S0], ([S0], [P])),
    Layout((3, N, WIDTH), (3, N, WIDTH), [S1], [S0], [S1], ([S1], [S1])),
    Layout((WIDTH, N, 5), (WIDTH, N, 5), [S2], [S2], [S1], ([S2], [S2]), dim=0),
    Layout((N, WIDTH, 5), (N, WIDTH, 1), [S0], [S0], [S0], ([S0], [S0]), dim=1),
]
GRID = [
    Layout((N, 7, WIDTH), (N, 7, WIDTH), [S0, S1], [S0, S1], [S0, S1], ([S0, S1], [S0, S1])),
    Layout((N, 7, WIDTH), (N, 1, WIDTH), [S0, S1], [S0, R], [S0, S1], ([S0, S1], [S0, P])),
    Layout((N, WIDTH), (N, WIDTH), [S0, S0], [R, S0], [S0, S0], ([S0, S0], [S0, S0])),
    Layout((N, WIDTH), (1, WIDTH), [R, S0], [R, R], [R, S0], ([R, S0], [R, P])),
]


class Batch:
    """Random tensors of a seed, and the same as DTensors on a mesh."""

    def __init__(self, mesh, seed):
        self.mesh, self.generator = mesh, torch.Generator().manual_seed(seed)

    def randn(self, *shape, dtype=torch.float32):
        return torch.randn(*shape, generator=self.generator).to(dtype)

    def share(self, t, placements):
        shared = distribute_tensor(t.detach().clone(), self.mesh, placements)
        return shared.requires_grad_() if t.requires_grad else shared


def same(got, want, exact=True):
    whole = got.full_tensor().detach()
    assert whole.shape == want.shape
    assert whole.dtype == want.dtype
    if exact:
        assert torch.equal(whole, want), (whole - want).abs().max()
    else:
        torch.testing.assert_close(whole, want.detach(), rtol=2e-6, atol=2e-7)


def rows(batch, layout, dtype, function):
    """Check that rows have the bits of one process and that sums over ranks are close."""
    x, y = (batch.randn(*shape, dtype=dtype).requires_grad_() for shape in (layout.x, layout.y))
    a, b = batch.share(x, layout.on_x), batch.share(y, layout.on_y)
    out, want = function(a, b, layout.dim), function(x, y, layout.dim)
    assert list(out.placements) == layout.out, (layout, out.placements)
    same(out, want)
    g = batch.randn(*want.shape, dtype=dtype)
    grads = torch.autograd.grad(out, (a, b), batch.share(g, layout.out))
    for grad, true, expected in zip(grads, torch.autograd.grad(want, (x, y), g), layout.grads, strict=True):
        assert list(grad.placements) == expected, (layout, grad.placements)
        same(grad, true, exact=not any(p.is_partial() for p in expected))


def all_rows(batch, layouts):
    for layout in layouts:
        for function in (C.cosine_similarity, C.cosine_distance):
            rows(batch, layout, torch.float32, lambda x, y, dim, f=function: f(x, y, dim))
    for dtype in (torch.float64, torch.bfloat16):
        rows(batch, layouts[0], dtype, lambda x, y, dim: C.cosine_distance(x, y, dim, eps=0.0))


def unit_vectors(batch, placements):
    for dim, on in ((-1, placements), (0, [Shard(p.dim + 1) if p.is_shard() else p for p in placements])):
        x = batch.randn(WIDTH, N, WIDTH).requires_grad_()
        a = batch.share(x, on)
        out, want = C.normalize(a, dim=dim), C.normalize(x, dim=dim)
        assert list(out.placements) == on
        same(out, want)
        g = batch.randn(*x.shape)
        (got,) = torch.autograd.grad(out, a, batch.share(g, on))
        assert list(got.placements) == on
        same(got, torch.autograd.grad(want, x, g)[0])


TARGET = torch.tensor([1, -1] * (N // 2))
LABELS = torch.arange(N) // 3
WEIGHTS = torch.tensor([0.0, 1.0, 2.0, 0.5, 3.0] * (N // 5))
LOSSES = {
    "mean": lambda x, y, on: C.cosine_distance_loss(x, y),
    "sum": lambda x, y, on: C.cosine_distance_loss(x, y, reduction="sum"),
    "one weight": lambda x, y, on: C.cosine_distance_loss(x, y, weights=0.5),
    "weights": lambda x, y, on: C.cosine_distance_loss(x, y, weights=on(WEIGHTS), reduction="nonzero_mean"),
    "unit vectors": lambda x, y, on: C.cosine_distance_loss(x, y, assume_normalized=True),
    "embedding": lambda x, y, on: C.cosine_embedding_loss(x, y, on(TARGET), margin=0.1),
    "pairs": lambda x, y, on: C.pairwise_cosine_similarity(x, y),
    "pairs of x": lambda x, y, on: C.pairwise_cosine_distance(x),
    "contrastive": lambda x, y, on: C.contrastive_loss(x, y),
    "labels": lambda x, y, on: C.contrastive_loss(x, y, labels_x=on(LABELS), labels_y=on(LABELS)),
    "views": lambda x, y, on: C.nt_xent_loss(x),
    "sigmoid": lambda x, y, on: C.sigmoid_contrastive_loss(x, y),
}


def losses(batch, placements):
    for name, function in LOSSES.items():
        x, y = batch.randn(2, N, WIDTH).unbind()
        plain = [t.clone().requires_grad_() for t in (x, y)]
        shared = [batch.share(t, placements) for t in plain]
        out = function(*shared, lambda t: batch.share(t, placements))
        want = function(*plain, lambda t: t)
        same(out, want, exact=False)
        (out**2).sum().backward()
        (want**2).sum().backward()
        for a, t in zip(shared, plain, strict=True):
            if t.grad is None:
                assert a.grad is None
                continue
            assert list(a.grad.placements) == placements, (name, a.grad.placements)
            same(a.grad, t.grad, exact=False)


def many_rows(batch):
    """Check a mean of more losses than one thread sums at once: it stays a partial sum of each rank."""
    x, y = batch.randn(2, 20_000, 3).unbind()
    out = C.cosine_distance_loss(batch.share(x, [S0]), batch.share(y, [S0]))
    assert list(out.placements) == [P]
    same(out, C.cosine_distance_loss(x, y), exact=False)


def numbers(batch):
    """Check that a temperature in a plain tensor has a plain gradient, which is complete on every rank."""
    x, y = batch.randn(2, N, WIDTH).unbind()
    grads = []
    for a, b in ((x, y), (batch.share(x, [S0]), batch.share(y, [S0]))):
        module = C.nn.ContrastiveLoss(learnable=True)
        module(a, b).backward()
        grads += [p.grad for p in module.parameters()]
    want, got = grads
    assert type(got) is torch.Tensor
    torch.testing.assert_close(got, want, rtol=1e-5, atol=0)


def second(batch):
    functions = (
        lambda x, y: C.cosine_similarity(x, y).sum(),
        lambda x, y: C.normalize(x).sum(),
        lambda x, y: C.contrastive_loss(x, y),
    )
    for function in functions:
        x, y = batch.randn(2, N, WIDTH).unbind()
        found = []
        for a, b in ((x.clone().requires_grad_(), y), (x.requires_grad_(), y)):
            if found:
                a, b = batch.share(a, [S0]), batch.share(b, [S0])
            (g,) = torch.autograd.grad(function(a, b), a, create_graph=True)
            found += torch.autograd.grad((g**2).sum(), a)
        assert list(found[1].placements) == [S0]
        same(found[1], found[0], exact=False)


def partial(batch, ranks):
    """Check that an operand that is a partial sum over the ranks is summed first."""
    x, y = batch.randn(2, N, WIDTH).unbind()
    a = DTensor.from_local(x, batch.mesh, [P])
    same(C.cosine_similarity(a, batch.share(y, [S0])), C.cosine_similarity(ranks * x, y), exact=False)


def refused(batch):
    x, y = batch.randn(2, N, WIDTH).unbind()
    along = batch.share(x, [S1])
    beside = batch.share(y, [S0])
    calls = (
        lambda: C.cosine_similarity(along, beside),
        lambda: C.cosine_distance(beside, along),
        lambda: C.normalize(along),
        lambda: C.cosine_distance_loss(along, beside),
        lambda: C.cosine_embedding_loss(along, beside, batch.share(TARGET, [S0])),
        lambda: C.pairwise_cosine_similarity(along),
        lambda: C.contrastive_loss(beside, along),
        lambda: C.nt_xent_loss(along),
        lambda: C.sigmoid_contrastive_loss(along, beside),
    )
    for call in calls:
        with pytest.raises(ValueError, match=r"sharded along its vectors, axis 1: call redistribute"):
            call()
    mixed = {
        "x2": lambda: C.cosine_similarity(beside, y),
        "weights": lambda: C.cosine_distance_loss(beside, beside, weights=WEIGHTS),
        "target": lambda: C.cosine_embedding_loss(beside, beside, TARGET),
        "y": lambda: C.contrastive_loss(beside, y),
        "labels_x": lambda: C.contrastive_loss(beside, beside, labels_x=LABELS, labels_y=LABELS),
    }
    for name, call in mixed.items():
        with pytest.raises(ValueError, match=f"{name} is a plain tensor .* distribute_tensor"):
            call()
    with pytest.raises(ValueError, match=r"target holds 0, must hold only"):
        C.cosine_embedding_loss(beside, beside, batch.share(0 * TARGET, [S0]))
    with pytest.raises(ValueError, match=r"temperature=-1.0 must be"):
        C.contrastive_loss(beside, beside, temperature=-1.0)


def two_meshes(batch, ranks):
    if ranks != 4:
        return
    other = Batch(init_device_mesh("cpu", (2, 2)), 0)
    x = batch.randn(N, WIDTH)
    with pytest.raises(ValueError, match="must be on one mesh"):
        C.cosine_similarity(batch.share(x, [S0]), other.share(x, [S0, S1]))


def part_of_the_ranks(seed, rank):
    """Check a mesh of two ranks. The other ranks make the same calls, but they have no rows."""
    batch = Batch(DeviceMesh("cpu", [0, 1]), seed)
    x, y = (t.requires_grad_() for t in batch.randn(2, N, WIDTH).unbind())
    a, b = batch.share(x, [S0]), batch.share(y, [S0])
    pairs = [(f(a, b), f(x, y)) for f in (C.cosine_distance, C.contrastive_loss)]
    g = batch.randn(N)
    grads = torch.autograd.grad(pairs[0][0], (a, b), batch.share(g, [S0]))
    pairs += zip(grads, torch.autograd.grad(pairs[0][1], (x, y), g), strict=True)
    for got, want in pairs:
        assert got.shape == want.shape
        if rank < 2:
            same(got, want.detach(), exact=False)


def compiled(batch):
    x, y = (t.requires_grad_() for t in batch.randn(2, N, WIDTH).unbind())
    a, b = batch.share(x, [S0]), batch.share(y, [S0])
    out = torch.compile(C.cosine_distance, fullgraph=True, backend="aot_eager")(a, b)
    same(out, C.cosine_distance(x, y))
    (got,) = torch.autograd.grad(out.sum(), a)
    assert list(got.placements) == [S0]
    same(got, torch.autograd.grad(C.cosine_distance(x, y).sum(), x)[0])


def main(rank, ranks, rendezvous, seed):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{rendezvous}",
        rank=rank,
        world_size=ranks,
        timeout=datetime.timedelta(seconds=120),
    )
    batch = Batch(init_device_mesh("cpu", (ranks,)), seed)
    all_rows(batch, LINE)
    unit_vectors(batch, [S0 if ranks == 1 else S1])
    losses(batch, [S0])
    many_rows(batch)
    numbers(batch)
    second(batch)
    partial(batch, ranks)
    refused(batch)
    if ranks == 4:
        grid = Batch(init_device_mesh("cpu", (2, 2)), seed)
        all_rows(grid, GRID)
        unit_vectors(grid, [S1, R])
        losses(grid, [S0, S0])
        two_meshes(batch, ranks)
        part_of_the_ranks(seed, rank)
    else:
        compiled(batch)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
