"""The common parts of the tiled losses: options, unit vectors, blocks, and the gradients of the inputs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cosgrad.closed import SIMILARITY
from cosgrad.torch import _normalize
from cosgrad.torch._contrastive.ring import Ring
from cosgrad.torch._contrastive.tiles import ROWS, Tile, Tiles, fast_bfloat16
from cosgrad.torch._ops import OPS
from cosgrad.torch._rule import rule
from cosgrad.torch._rules import cosine

SMALL = 1 << 16
LARGE = 2.0**31  # the square of a scale up to this is far from the largest float32


@dataclass(frozen=True)
class Options:
    """The options of a loss beside x, y and the scalars. The rows of x are the rows, those of y the columns.

    Without labels, the positive of row i is column i. If y is x (`itself`), the positive is half the number
    of rows away, and no row is compared with itself.
    """

    symmetric: bool = False
    itself: bool = False
    labels_x: Tensor | None = None
    labels_y: Tensor | None = None
    ignore: Tensor | None = None

    def tensors(self) -> tuple[Tensor | None, ...]:
        """Return the options that are tensors."""
        return self.labels_x, self.labels_y, self.ignore

    def arguments(self) -> tuple[Any, ...]:
        """Return the options as arguments of the operator. It derives `itself` from a missing y."""
        return self.labels_x, self.labels_y, self.ignore, self.symmetric


def full_dtype(x: Tensor) -> torch.dtype:
    """Return the narrowest dtype to compute in: that of x, or float32 for half types."""
    return torch.promote_types(x.dtype, torch.float32)


class Needs(NamedTuple):
    """Flags of the derivatives that are needed."""

    x: bool = False
    y: bool = False
    scale: bool = False
    bias: bool = False


@dataclass(frozen=True)
class Result:
    """The loss in the widest dtype of the device, and the derivatives that were needed.

    The derivatives with respect to x and y are those of the loss of the whole batch. The derivatives with
    respect to the scalars are this rank's part of the sum.
    """

    loss: Tensor
    gx: Tensor | None = None
    gy: Tensor | None = None
    g_scale: Tensor | None = None
    g_bias: Tensor | None = None


@dataclass(frozen=True)
class Block:
    """The columns of one rank: their unit vectors, labels and mask, and the tensors sent with them."""

    v: Tensor
    own: bool
    labels: Tensor | None
    ignore: Tensor | None
    fixed: list[Tensor]
    carried: list[Tensor]


class Problem:
    """A batch, its blocks and their tiles.

    The unit vectors of x are multiplied by the scale, so that a matrix product is a tile of logits.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor | None,
        scale: float,
        options: Options,
        ring: Ring,
        bias: float = 0.0,
    ) -> None:
        self.options, self.ring, self.scale = options, ring, scale
        self.x, self.y = x, y
        # Half types are multiplied in float32. A small batch is computed in float64, because a gradient may
        # be a difference of nearly equal weights, and float64 costs little there. Large logits also need
        # float64 sums.
        self.full = full_dtype(x)
        wide = OPS.widen(x.new_empty(0, dtype=self.full))
        small = sum(ring.sizes) ** 2 <= SMALL
        large = max(abs(scale), abs(bias)) > LARGE
        self.dtype = wide.dtype if small or large else self.full
        self.u = self.unit(x)
        narrow = (
            self.dtype == self.full and not small and x.dtype == torch.bfloat16 and fast_bfloat16(x.device)
        )
        self.tiles = Tiles(self.u, narrow=narrow)
        if options.ignore is not None:
            self.u = _without(self.u, options.ignore.all(1))
        self.u *= scale
        self.rows = x.shape[0]
        self.wide = wide

    def unit(self, x: Tensor) -> Tensor:
        """Return the unit vectors of the rows of x."""
        u: Tensor = _normalize.normalize(x.to(self.dtype), 1, 0.0)
        return u

    @property
    def columns(self) -> Tensor:
        """The rows of y on this rank (of x if there is no y)."""
        return self.x if self.y is None else self.y

    @property
    def shift(self) -> int:
        """The distance from the index of a row to the index of its positive, without labels."""
        return self.rows // 2 if self.options.itself else 0

    def positives(self, t: Tensor) -> Tensor:
        """Return the rows of t, one per column of the own block, that are the positives of the rows."""
        return t.roll(-self.shift, 0) if self.options.itself else t[: self.rows]

    def positive_logits(self) -> Tensor:
        """Return the logit of each row with its own positive, from the exact similarity."""
        x, y = self.x.to(self.dtype), self.positives(self.columns).to(self.dtype)
        S: Tensor = cosine(x, y, rule(1, 0.0, SIMILARITY))
        return S.to(self.wide.dtype) * self.scale

    def add_to_positives(self, G: Tensor, addend: Tensor) -> None:
        """Add one addend per row to the gradient in v, at the row's own positive."""
        if self.options.itself:
            G += addend.roll(self.shift, 0)
        else:
            G[: self.rows] += addend

    def diagonals(self) -> list[int]:
        """Return the offsets of the diagonals of the own block whose pairs are not negatives."""
        special = [0] if self.options.itself else []
        if self.options.labels_x is None:
            special += [self.shift, self.shift - self.rows] if self.options.itself else [0]
        return special

    def blocks(self, fixed: list[Tensor], carried: list[Tensor]) -> Iterator[Block]:
        """Yield the block of every rank, with the `fixed` and `carried` tensors of `Ring.blocks`."""
        options, ring = self.options, self.ring
        labels = [options.labels_y] if options.labels_y is not None else []
        for rank, there, changed in ring.blocks([self.columns, *labels, *fixed], carried):
            y, *rest = there
            v, ignore = self.unit(y), None
            if options.ignore is not None:
                start = ring.start[rank]
                ignore = options.ignore[:, start : start + len(y)]
                v = _without(v, ignore.all(0))
            label = rest.pop(0) if labels else None
            yield Block(v, rank == ring.rank, label, ignore, rest, changed)

    def logits(self, u: Tensor, block: Block, v: Tensor) -> Iterator[tuple[Tile, Tensor | None]]:
        """Yield the tiles of u v^T, with -inf for excluded pairs, and with labels the mask of positives."""
        o = self.options
        for i, j, z in self.tiles.of(u, v):
            positive = None
            if o.labels_x is not None and block.labels is not None:
                positive = o.labels_x[i, None] == block.labels[None, j]
            for shift in self.diagonals() if block.own else ():
                offset = i.start + shift - j.start
                z.diagonal(offset).fill_(-torch.inf)
                if positive is not None:
                    positive.diagonal(offset).fill_(False)
            if block.ignore is not None:
                ignored = block.ignore[i, j]
                z.masked_fill_(ignored, -torch.inf)
                if positive is not None:
                    positive &= ~ignored
            yield (i, j, z), positive

    def valid(self) -> Tensor | None:
        """Return the mask of the rows whose positive is not ignored. None means all rows."""
        if self.options.ignore is None:
            return None
        start = self.ring.start[self.ring.rank]
        own = self.options.ignore[:, start : start + len(self.columns)]
        if not self.options.itself:
            return ~own.diagonal()
        index = torch.arange(self.rows, device=own.device)
        return ~own[index, self.positives(index)]

    def finish(
        self, Gu: Tensor | None, Gv: Tensor | None, factor: float
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients in x and y, from `factor` times the gradients in the scaled u and in v."""
        if self.options.itself and Gu is not None and Gv is not None:
            Gu, Gv = Gu.mul_(self.scale).add_(Gv), None
        elif Gu is not None:
            Gu.mul_(self.scale)
        gx = None if Gu is None else self._back(self.x, Gu.mul_(factor))
        return gx, None if Gv is None else self._back(self.columns, Gv.mul_(factor))

    def _back(self, x: Tensor, G: Tensor) -> Tensor:
        g: Tensor = _normalize.gradient(x.to(self.dtype), G, 1, 0.0)
        # The gradient of a row with cotangent 0 is 0, even if the row has NaN.
        return g.to(self.full).masked_fill_(~G.any(1, keepdim=True), 0)

    def leave_out(self, rows: Tensor) -> None:
        """Replace the unit vectors of these rows by 0, so that later results do not depend on the rows."""
        self.u = _without(self.u, rows)

    def along_scale(self, Gu: Tensor) -> Tensor:
        """Return sum_ij W_ij S_ij = sum_i <u_i, (W v)_i> with the unscaled u. Gu is W v."""
        u = self.u if self.scale else self.unit(self.x)
        total = self.wide.new_zeros(())
        for row in range(0, self.rows, ROWS):
            i = slice(row, row + ROWS)
            total += (u[i] * Gu[i]).sum(dtype=total.dtype)
        return total / (self.scale or 1)


def _without(u: Tensor, dead: Tensor) -> Tensor:
    return u.masked_fill(dead[:, None], 0) if bool(dead.any()) else u
