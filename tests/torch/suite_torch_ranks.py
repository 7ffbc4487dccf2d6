"""Tests of the losses over a group.

`test_torch_ranks.py` starts this once per rank, on gloo and loopback:

    python suite_torch_ranks.py CASE RANK RANKS RENDEZVOUS SEED

Every rank also computes the whole batch by itself. Its part of the shared batch is compared with the result.
"""

import datetime
import os
import signal
import sys
import threading

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import cosgrad.torch as C

CUTS = {2: [0, 5, 16], 3: [0, 4, 9, 16], 4: [0, 1, 7, 10, 16]}  # where each rank's rows begin: uneven parts


class Rank:
    def __init__(self, rank, ranks, seed):
        self.rank, self.ranks = rank, ranks
        self.generator = torch.Generator().manual_seed(seed)
        self.cuts = [CUTS[ranks][r] * 40 for r in range(ranks + 1)]

    @property
    def own(self):
        return slice(self.cuts[self.rank], self.cuts[self.rank + 1])

    def randn(self, *shape):
        return torch.randn(*shape, generator=self.generator)


def close(got, want, within=1e-6):
    error = (got - want).norm().item() / max(want.norm().item(), 1e-30)
    assert error <= within, f"{error:.2e} of the norm, allowed is {within:.0e}"


def compare(rank, f, tensors, scalar, own):
    """Compare the loss over the group and its gradients, by both conventions, with those of one process."""
    leaves = [t.clone().requires_grad_() for t in (*tensors, scalar)]
    loss = f(*leaves, group=None)
    *want, want_scalar = torch.autograd.grad(loss, leaves)
    for convention, factor in (("mean", rank.ranks), ("sum", 1)):
        parts = [t[own].clone().requires_grad_() for t in tensors] + [scalar.clone().requires_grad_()]
        shared = f(*parts, group=dist.group.WORLD, gradient_scale=convention)
        *grads, g_scalar = torch.autograd.grad(shared, parts)
        close(shared, loss)
        for g, w in zip(grads, want, strict=True):
            close(g, factor * w[own])
        if convention == "sum":
            dist.all_reduce(g_scalar)
        close(g_scalar, want_scalar)


def losses(rank):
    n = rank.cuts[-1]
    x, y = rank.randn(n, 24), rank.randn(n, 24)
    t = torch.tensor(0.07)
    labels = torch.randint(0, 40, (2, n), generator=rank.generator)
    ignore = torch.rand(n, n, generator=rank.generator) < 0.2
    own = rank.own

    def plain(x, y, t, **options):
        return C.contrastive_loss(x, y, temperature=t, **options)

    def rows(x, y, t, **options):
        return C.contrastive_loss(x, y, temperature=t, symmetric=False, **options)

    def cold(x, y, t, **options):
        return C.contrastive_loss(x, y, temperature=t / 20, **options)

    def labelled(x, y, t, group=None, **options):
        part = own if group is not None else slice(None)
        here = {"labels_x": labels[0, part], "labels_y": labels[1, part], "ignore": ignore[part]}
        return C.contrastive_loss(x, y, temperature=t, group=group, **here, **options)

    def ignoring(x, y, t, group=None, **options):
        part = own if group is not None else slice(None)
        return C.contrastive_loss(x, y, temperature=t, group=group, ignore=ignore[part], **options)

    def sigmoid(x, y, t, **options):
        return C.sigmoid_contrastive_loss(x, y, scale=1 / t, bias=-10 * t, **options)

    def supervised(z, t, group=None, **options):
        part = own if group is not None else slice(None)
        return C.nt_xent_loss(z, labels[0, part], temperature=t, group=group, **options)

    for f in (plain, rows, cold, labelled, ignoring, sigmoid):
        compare(rank, f, (x, y), t, own)
    compare(rank, supervised, (x,), t, own)
    # These are both views of a rank's rows. In one process the whole first view comes first.
    order = torch.cat([torch.arange(n)[own], n + torch.arange(n)[own]])

    def views(z, t, group=None, **options):
        return C.nt_xent_loss(z, temperature=t, group=group, **options)

    compare(rank, views, (torch.cat([x, y]),), t, order)


def training(rank):
    """Compare training under DDP with training in one process on the whole batch.

    The model has two towers and a temperature. It is trained for twenty steps.
    """
    n = rank.cuts[-1]

    class Towers(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(5)
            self.x, self.y = torch.nn.Linear(24, 16), torch.nn.Linear(24, 16)
            self.loss = C.nn.ContrastiveLoss(learnable=True)

        def forward(self, x, y, group=None):
            self.loss.group = group
            return self.loss(self.x(x), self.y(y))

    alone, shared = Towers(), Towers()
    parallel = DistributedDataParallel(shared)
    optimisers = [torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in (alone, shared)]
    for _ in range(20):
        x, y = rank.randn(n, 24), rank.randn(n, 24)
        for optimiser in optimisers:
            optimiser.zero_grad()
        alone(x, y).backward()
        parallel(x[rank.own], y[rank.own], group=dist.group.WORLD).backward()
        for optimiser in optimisers:
            optimiser.step()
    for a, b in zip(shared.parameters(), alone.parameters(), strict=True):
        close(a.detach(), b.detach())


def refused(rank):
    """Check that one rank's mistake raises an error on all ranks at once.

    The group still works after it.
    """
    x = torch.ones(4, 3)
    wrong = {
        "arguments": lambda: C.contrastive_loss(x, x if rank.rank else x[:3], group=dist.group.WORLD),
        "symmetric": lambda: C.contrastive_loss(x, x, symmetric=bool(rank.rank), group=dist.group.WORLD),
        "length": lambda: C.contrastive_loss(*2 * [torch.ones(4, 3 + rank.rank)], group=dist.group.WORLD),
        "ignore": lambda: C.contrastive_loss(x, x, ignore=torch.eye(4) > 0, group=dist.group.WORLD),
    }
    for name, call in wrong.items():
        with pytest.raises((ValueError, RuntimeError), match=f"{name}|y of shape"):
            call()
    C.contrastive_loss(x, x, group=dist.group.WORLD)


def second(rank):
    x = rank.randn(4, 3).requires_grad_()
    loss = C.contrastive_loss(x, 2 * x, group=dist.group.WORLD)
    with pytest.raises(RuntimeError, match="without group="):
        torch.autograd.grad(loss, x, create_graph=True)


def killed(rank):
    vanish(rank, signal.SIGKILL)


def stopped(rank):
    vanish(rank, signal.SIGSTOP)


def vanish(rank, how):
    """Stop the last rank during a loss, and check that the others raise an error within the timeout."""
    x, y = rank.randn(2000, 64).requires_grad_(), rank.randn(2000, 64)
    C.contrastive_loss(x, y, group=dist.group.WORLD)
    if rank.rank == rank.ranks - 1:
        threading.Timer(0.05, lambda: os.kill(os.getpid(), how)).start()
    try:
        while True:
            C.contrastive_loss(x, y, group=dist.group.WORLD)
    except RuntimeError:
        print("raised", flush=True)
        os._exit(0)  # the group cannot be destroyed, because its last rank is gone


def right(rank):
    for check in (losses, training, refused, second):
        check(rank)


CASES = {f.__name__: f for f in (right, killed, stopped)}


def main(case, rank, ranks, rendezvous, seed):
    torch.set_num_threads(1)
    timeout = 120 if case == "right" else 6
    dist.init_process_group(
        "gloo",
        init_method=f"file://{rendezvous}",
        rank=int(rank),
        world_size=int(ranks),
        timeout=datetime.timedelta(seconds=timeout),
    )
    CASES[case](Rank(int(rank), int(ranks), int(seed)))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
