"""SigLIP: the pairs are independent, so one visit of every tile gives the loss and its derivatives."""

from typing import Any

import torch
from torch import Tensor

from cosgrad.torch._contrastive.problem import Needs, Options, Problem, Result
from cosgrad.torch._contrastive.ring import Ring

_softplus: Any = torch._C._nn.softplus  # the public function has no argument `out`


def loss(x: Tensor, y: Tensor, scale: float, bias: float, ring: Ring, needs: Needs) -> Result:
    """Return the loss and the needed derivatives: the sum over all pairs divided by the number of rows."""
    problem = Problem(x, y, scale, Options(), ring, bias)
    tiles, wide = problem.tiles, problem.wide
    Gu = torch.zeros_like(problem.u) if needs.x or needs.scale else None
    Gv = problem.u.new_zeros(problem.columns.shape) if needs.y else None
    total, g_bias = wide.new_zeros(()), wide.new_zeros(())
    u = tiles.operand(problem.u)
    for block in problem.blocks([], [] if Gv is None else [Gv]):
        v = tiles.operand(block.v)
        for (i, j, z), _ in problem.logits(u, block, v):
            z.add_(bias)
            total += _softplus(z, out=tiles.spare(z)).sum(1).sum(dtype=wide.dtype)
            if not any(needs):
                continue
            W = z.sigmoid_()
            g_bias += W.sum(1).sum(dtype=wide.dtype)
            if Gu is not None:
                tiles.add_product(Gu[i], W, v[j])
            if Gv is not None:
                tiles.add_product(block.carried[0][j], W.mT, u[i])
        if block.own:
            logits = problem.positive_logits() + bias
            total += torch.logaddexp(-logits, torch.zeros_like(logits)).sum()
            weights = (-logits).sigmoid_().neg_()
            g_bias += weights.sum()
            c = weights.to(u.dtype)[:, None]
            if Gu is not None:
                Gu.addcmul_(c, problem.positives(block.v))
            if Gv is not None:
                problem.add_to_positives(block.carried[0], c * problem.u)
    count = wide.new_tensor(problem.rows)
    total, count = ring.sum(torch.stack([total, count]))
    factor = 1 / max(count.item(), 1)
    g_scale = problem.along_scale(Gu) * factor if needs.scale and Gu is not None else None
    gx, gy = problem.finish(Gu if needs.x else None, Gv, factor)
    return Result(total * factor, gx, gy, g_scale, g_bias * factor if needs.bias else None)
