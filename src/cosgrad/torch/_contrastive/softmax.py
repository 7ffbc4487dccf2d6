r"""InfoNCE: the softmax of every row, and also of every column if the loss is symmetric.

Let LP and LN be the logarithms of the sums of the exponentials of a row's positive and negative logits z, and
let P be the number of its positives. The loss of the row is

    mean over positives of (logsumexp z - z_j) = softplus(LN - LP) + (LP - mean z_j)

and dL/dz is exp(z_k - LP - softplus(LN - LP)) for a negative and (pi_j - 1/P) - pi_j nu for a positive, where
pi_j = exp(z_j - LP) and nu = sigmoid(LN - LP). A single positive has LP = z and pi = 1, so its weight is
minus the sum of the weights of the negatives. We use this form because the textbook's form cancels if the
batch is well separated.
"""

import torch
from torch import Tensor

from cosgrad.torch._contrastive.problem import Needs, Options, Problem, Result
from cosgrad.torch._contrastive.ring import Ring

# Up to this magnitude of a logit z, exp(z), its sums and their reciprocals stay within the range of float32.
BOUNDED = 64.0


class Softmax:
    """The statistics of the softmax along one axis, collected tile by tile, and the terms of its weights.

    Args:
        state: Table with one row per row (or column) of the matrix. Its columns are the maximum and the sum
            of exponentials of the negatives. With labels, the further columns are the maximum and the sum of
            exponentials of the positives, the sum of the positive logits, and their number.
        dim: 1 for the softmax of rows, 0 for that of columns.
        bounded: The logits are so small that no maximum need be subtracted before the exponential.
    """

    def __init__(self, state: Tensor, dim: int, *, bounded: bool) -> None:
        self.state, self.dim, self.bounded = state, dim, bounded
        self.terms: list[Tensor] = []
        self.has = self.nu = state.new_empty(0)

    @staticmethod
    def empty(like: Tensor, n: int, *, labels: bool, bounded: bool) -> Tensor:
        """Return the state before the first tile."""
        state = like.new_zeros(n, 6 if labels else 2)
        if not bounded:
            state[:, 0::2] = -torch.inf
            state[:, 4:] = 0
        return state

    def gather(self, part: slice, z: Tensor, exponentials: Tensor, positive: Tensor | None) -> None:
        """Add a tile to the state.

        `exponentials` has the exponentials of the tile if logits are bounded. Otherwise it is spare memory.
        """
        state = self.state[part]
        if positive is None:
            self._add(state, z, exponentials)
            return
        self._add(state, z.masked_fill(positive, -torch.inf), exponentials)
        self._add(state[:, 2:], z.masked_fill(~positive, -torch.inf), exponentials)
        state[:, 4] += z.masked_fill(~positive, 0).sum(self.dim, dtype=state.dtype)
        state[:, 5] += positive.sum(self.dim)

    def _add(self, state: Tensor, z: Tensor, exponentials: Tensor) -> None:
        top, total = state[:, 0], state[:, 1]
        if self.bounded:
            total += exponentials.sum(self.dim)
            return
        new = torch.maximum(top, z.amax(self.dim).to(top.dtype))
        shift = new.masked_fill(new == -torch.inf, 0)
        torch.sub(z, shift.to(z.dtype).unsqueeze(self.dim), out=exponentials).exp_()
        total.mul_((top - shift).exp_()).add_(exponentials.sum(self.dim))
        top.copy_(new)

    def close(self, positive: Tensor | None, valid: Tensor | None) -> Tensor:
        """Return [sum of the losses, number of rows with a positive], and compute the terms of the weights.

        Args:
            positive: The logit of the only positive of each row, or None with labels.
            valid: The mask of the rows whose positive counts. None means all rows.
        """
        state = self.state
        LN = state[:, 0] + state[:, 1].log()
        if positive is None:
            count = state[:, 5].clamp(min=1)
            has = state[:, 5] > 0
            LP = torch.where(has, state[:, 2] + state[:, 3].log(), torch.inf)
            spread = LP - state[:, 4] / count
        else:
            count = torch.ones_like(LN)
            has = torch.ones_like(LN, dtype=torch.bool) if valid is None else valid
            LP = torch.where(has, positive, torch.inf)
            spread = torch.zeros_like(LN)
        odds = LN - LP
        self.has, self.nu = has, torch.where(has, odds.sigmoid(), 0)
        losses = torch.logaddexp(odds, torch.zeros_like(odds))
        self.terms = _factors(state, self.nu, has)
        if positive is None:
            self.terms += [*_factors(state[:, 2:], torch.ones_like(LN), has), self.nu, has / count]
        return torch.stack([torch.where(has, losses + spread, 0).sum(), has.sum()])


def _factors(state: Tensor, share: Tensor, has: Tensor) -> list[Tensor]:
    """Return s and f such that the sum of exp(z - s) f is the share.

    With the share nu, exp(z - s) f is the weight exp(z - LP - softplus(LN - LP)) of a negative. This form
    avoids the rounding error of a large logarithm.
    """
    top, total = state[:, 0], state[:, 1]
    some = has & (total != 0)  # also true if total is NaN
    return [torch.where(top > -torch.inf, top, 0), torch.where(some, share / total, 0)]


def _weights(terms: Tensor, dim: int, z: Tensor, positive: Tensor | None, out: Tensor) -> Tensor:
    """Return dL/dz of the sum of the losses along `dim`."""
    shift, factor, *of_positives = (t.unsqueeze(dim) for t in terms.unbind(1))
    torch.sub(z, shift, out=out).exp_().mul_(factor)
    if positive is not None:
        shift, factor, nu, share = of_positives
        pi = (z - shift).exp_().mul_(factor)
        out.copy_(torch.where(positive, (pi - share) - pi * nu, out))
    return out


def loss(x: Tensor, y: Tensor | None, scale: float, options: Options, ring: Ring, needs: Needs) -> Result:
    """Return the mean loss of the whole batch, and the derivatives that are needed."""
    labels = options.labels_x is not None
    bounded = abs(scale) <= BOUNDED and not labels
    problem = Problem(x, y, scale, options, ring)
    rows, columns = _gather(problem, bounded=bounded)
    positive = None if labels else problem.positive_logits()
    valid = problem.valid()
    totals = [rows.close(positive, valid)]
    if columns is not None:
        totals.append(columns.close(positive, valid))
    (sum_x, n_x), (sum_y, n_y) = ring.sum(torch.stack([*totals, torch.zeros_like(totals[0])][:2])).tolist()
    mean = sum_x / max(n_x, 1)
    if options.symmetric:
        mean = mean / 2 + sum_y / max(n_y, 1) / 2
    else:
        problem.leave_out(~rows.has)
    value = problem.wide.new_tensor(mean)
    if not any(needs):
        return Result(value)
    Gu, Gv = _weigh(problem, rows, columns, n_x / max(n_y, 1), needs)
    factor = (0.5 if options.symmetric else 1) / max(n_x, 1)
    g_scale = problem.along_scale(Gu) * factor if needs.scale and Gu is not None else None
    gx, gy = problem.finish(Gu if needs.x else None, Gv, factor)
    return Result(value, gx, gy, g_scale)


def _gather(problem: Problem, *, bounded: bool) -> tuple[Softmax, Softmax | None]:
    """Visit every tile once. Return the statistics of the rows, and of the columns if symmetric."""
    symmetric, labels = problem.options.symmetric, problem.options.labels_x is not None

    def state(n: int) -> Tensor:
        return Softmax.empty(problem.wide, n, labels=labels, bounded=bounded)

    rows = Softmax(state(problem.rows), 1, bounded=bounded)
    own = [state(len(problem.columns))] if symmetric else []
    u = problem.tiles.operand(problem.u)
    for block in problem.blocks([], own):
        columns = [Softmax(there, 0, bounded=bounded) for there in block.carried]
        for (i, j, z), positive in problem.logits(u, block, problem.tiles.operand(block.v)):
            exponentials = z.exp_() if bounded else problem.tiles.spare(z)
            rows.gather(i, z, exponentials, positive)
            for softmax in columns:
                softmax.gather(j, z, exponentials, positive)
    return rows, Softmax(own[0], 0, bounded=bounded) if symmetric else None


def _weigh(
    problem: Problem, rows: Softmax, columns: Softmax | None, ratio: float, needs: Needs
) -> tuple[Tensor | None, Tensor | None]:
    """Visit every tile again. Return the gradients of n_x times the loss in the scaled u and in v."""
    tiles, dtype = problem.tiles, problem.u.dtype
    terms = torch.stack(rows.terms, 1).to(dtype)
    travelling = [] if columns is None else [torch.stack(columns.terms, 1).to(dtype)]
    Gu = torch.zeros_like(problem.u) if needs.x or needs.scale else None
    Gv = (
        problem.u.new_zeros(problem.columns.shape)
        if needs.y or (needs.x and problem.options.itself)
        else None
    )
    u = tiles.operand(problem.u)
    for block in problem.blocks(travelling, [] if Gv is None else [Gv]):
        v = tiles.operand(block.v)
        for (i, j, z), positive in problem.logits(u, block, v):
            W, spare = z, tiles.spare(z)
            if rows.bounded:
                z.exp_()
                if columns is None:
                    z.mul_(terms[i, 1:])
                else:
                    torch.add(terms[i, 1:], block.fixed[0][j, 1], alpha=ratio, out=spare)
                    z.mul_(spare)
            else:
                W = _weights(terms[i], 1, z, positive, spare)
                if columns is not None:
                    of_columns = torch.empty_like(z) if positive is not None else z
                    W.add_(_weights(block.fixed[0][j], 0, z, positive, of_columns), alpha=ratio)
            if Gu is not None:
                tiles.add_product(Gu[i], W, v[j])
            if Gv is not None:
                tiles.add_product(block.carried[0][j], W.mT, u[i])
        if block.own and problem.options.labels_x is None:
            weight = rows.nu if columns is None else rows.nu + ratio * columns.nu
            c = -weight.to(dtype)[:, None]
            if Gu is not None:
                Gu.addcmul_(c, problem.positives(block.v))
            if Gv is not None:
                problem.add_to_positives(block.carried[0], c * problem.u)
    return Gu, Gv
