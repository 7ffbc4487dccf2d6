"""What the tiled losses have in common: what is asked, unit vectors, and the way back to the inputs."""

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
    """What is asked beside x, y and the scalars. Rows are x's, columns y's.

    Without labels the positive of row i is column i; where y is x (`itself`), it is half the rows away, and
    no row is compared with itself.
    """

    symmetric: bool = False
    itself: bool = False
    labels_x: Tensor | None = None
    labels_y: Tensor | None = None
    ignore: Tensor | None = None

    def tensors(self) -> tuple[Tensor | None, ...]:
        """Return the tensors among these."""
        return self.labels_x, self.labels_y, self.ignore

    def arguments(self) -> tuple[Any, ...]:
        """Return these as the operator takes them, which knows `itself` by the missing y."""
        return self.labels_x, self.labels_y, self.ignore, self.symmetric


def full_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype in which x is computed at least: that of x, or float32 for half types."""
    return torch.promote_types(x.dtype, torch.float32)


class Needs(NamedTuple):
    """Which derivatives are wanted."""

    x: bool = False
    y: bool = False
    scale: bool = False
    bias: bool = False


@dataclass(frozen=True)
class Result:
    """The loss in the widest dtype there is, and of its derivatives those that were wanted.

    Those in x and y are of the whole batch's loss, those in the scalars are this rank's part.
    """

    loss: Tensor
    gx: Tensor | None = None
    gy: Tensor | None = None
    g_scale: Tensor | None = None
    g_bias: Tensor | None = None


@dataclass(frozen=True)
class Block:
    """A rank's columns: their unit vectors, and which of the pairs with them are special."""

    v: Tensor
    own: bool
    labels: Tensor | None
    ignore: Tensor | None
    fixed: list[Tensor]
    carried: list[Tensor]


class Problem:
    """A batch, its blocks and their tiles.

    The scale goes onto the rows of x, so that a product is a tile of logits.
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
        # Half types are multiplied in float32; a small batch in float64, where a gradient may be a difference
        # of nearly equal weights: it costs nothing. Large logits are added up in float64, too.
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
        """The vectors of this rank's own block."""
        return self.x if self.y is None else self.y

    @property
    def shift(self) -> int:
        """How far the positive of a row is from its own place, without labels."""
        return self.rows // 2 if self.options.itself else 0

    def positives(self, t: Tensor) -> Tensor:
        """Return the rows of t, one per column of the own block, that are the positives of the rows."""
        return t.roll(-self.shift, 0) if self.options.itself else t[: self.rows]

    def positive_logits(self) -> Tensor:
        """Return the logits of the rows with their own positives, each right to the last bit."""
        x, y = self.x.to(self.dtype), self.positives(self.columns).to(self.dtype)
        S: Tensor = cosine(x, y, rule(1, 0.0, SIMILARITY))
        return S.to(self.wide.dtype) * self.scale

    def add_to_positives(self, G: Tensor, addend: Tensor) -> None:
        """Add a row for each row's own positive to the gradient in v."""
        if self.options.itself:
            G += addend.roll(self.shift, 0)
        else:
            G[: self.rows] += addend

    def diagonals(self) -> list[int]:
        """Return the diagonals of the own block that are not plain negatives."""
        special = [0] if self.options.itself else []
        if self.options.labels_x is None:
            special += [self.shift, self.shift - self.rows] if self.options.itself else [0]
        return special

    def blocks(self, fixed: list[Tensor], carried: list[Tensor]) -> Iterator[Block]:
        """Yield the block of every rank, with what is fixed and what is carried along."""
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
        """Yield the tiles of u v^T, -inf where there is no negative, and where labels tell the positives."""
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
        """Return which rows keep the positive that they have without labels; None: all."""
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
        """Return the gradients in x and y from those in the scaled u and in v, both times a factor."""
        if self.options.itself and Gu is not None and Gv is not None:
            Gu, Gv = Gu.mul_(self.scale).add_(Gv), None
        elif Gu is not None:
            Gu.mul_(self.scale)
        gx = None if Gu is None else self._back(self.x, Gu.mul_(factor))
        return gx, None if Gv is None else self._back(self.columns, Gv.mul_(factor))

    def _back(self, x: Tensor, G: Tensor) -> Tensor:
        g: Tensor = _normalize.gradient(x.to(self.dtype), G, 1, 0.0)
        # A row whose cotangent is 0 does not count: its gradient is 0, NaN or not.
        return g.to(self.full).masked_fill_(~G.any(1, keepdim=True), 0)

    def leave_out(self, rows: Tensor) -> None:
        """Let nothing depend on these rows from now on."""
        self.u = _without(self.u, rows)

    def along_scale(self, Gu: Tensor) -> Tensor:
        """Return sum_ij W_ij S_ij = sum_i <u_i, (W v)_i> with u not scaled."""
        u = self.u if self.scale else self.unit(self.x)
        total = self.wide.new_zeros(())
        for row in range(0, self.rows, ROWS):
            i = slice(row, row + ROWS)
            total += (u[i] * Gu[i]).sum(dtype=total.dtype)
        return total / (self.scale or 1)


def _without(u: Tensor, dead: Tensor) -> Tensor:
    return u.masked_fill(dead[:, None], 0) if bool(dead.any()) else u
