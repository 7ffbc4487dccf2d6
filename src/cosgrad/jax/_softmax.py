"""The loss of a softmax over pairs and its gradients, computed tile by tile.

Only differences of similarities are divided by the temperature, so that large numbers do not cancel. LN is
the logarithm of the sum of exponentials over the negatives of a row, and LP is that over its positives. They
are computed separately:

    L = softplus(LN - LP) + LP - mean over positives of S / temperature
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from cosgrad.jax._ops import OPS
from cosgrad.jax._tiled import Pairs, product, summed, tile_pairs
from cosgrad.jax._tiles import cut, joined, sweep

BELOW = -2.0  # less than any similarity


class Negatives(NamedTuple):
    """The largest S of a row and its negatives, and the sum of e = exp((S - top) / temperature) over them."""

    top: Array
    total: Array


class Positives(NamedTuple):
    """The same for the positives, with the sum of e - 1, because e - 1 may be much smaller than 1."""

    top: Array
    excess: Array
    number: Array
    S: Array


class Weights(NamedTuple):
    """The numbers from which the derivatives of a row's loss in its similarities are computed.

    Attributes:
        top: The largest similarity to a negative.
        negative: The factor of e of a negative.
        likeliest: The largest similarity to a positive.
        positive: The factor of e of a positive minus the mean of these.
        excess: The mean of e - 1 over the positives.
        drawn: The factor of e of a positive in the term that comes from the negatives.
        others: The probability nu of all negatives together, times the row's weight. If there is one known
            positive, it is minus the derivative in the similarity to it.
    """

    top: Array
    negative: Array
    likeliest: Array
    positive: Array
    excess: Array
    drawn: Array
    others: Array


@dataclass(frozen=True)
class Softmax:
    """The loss over rows, or over rows and columns.

    Attributes:
        symmetric: Whether the loss is the mean of those over rows and over columns.
        own: Whether the columns are the rows themselves. Then v is None, and S is symmetric.
        axis: The name of the mesh axis of the devices, or None.
    """

    symmetric: bool
    own: bool
    axis: Any

    def __call__(
        self, operands: Any, constants: Any, wanted: tuple[bool, ...]
    ) -> tuple[Array, tuple[Array | None, ...]]:
        """Return the loss, and its gradients in the operands.

        Args:
            operands: The unit vectors u and v, the similarities s of the rows to their one positive (None if
                there are labels), and the temperature.
            constants: The pairs of rows and of columns, and, with s, which rows have a positive.
            wanted: Whether to compute the gradient in each operand.
        """
        u, v, s, temperature = operands
        rows, columns, matched = constants
        scale = 1 / _normal(OPS.widen(temperature), u)
        U = cut(u)
        V = U if self.own else cut(v)
        known: Any = None if s is None else (cut(OPS.widen(s)), cut(matched))

        row_sums, column_sums = self._sums(U, V, rows, columns, scale)
        share = 0.5 if self.symmetric else 1
        loss, by_rows = self._reduced(row_sums, known, scale, share)
        by_columns: Any = by_rows if self.own else None
        if self.symmetric:
            of_columns, by_columns = self._reduced(column_sums, known, scale, share)
            loss += of_columns
        if not any(wanted):
            return loss, (None,) * 4

        of_u, of_v, _, of_temperature = wanted
        Gu, Gv, slope = self._gradients(
            (U, rows, by_rows), (V, columns, by_columns), scale, (of_u, of_v, of_temperature)
        )
        w: Any = None if known is None else -by_rows.others - (by_columns.others if self.symmetric else 0)
        if of_temperature:
            slope = OPS.total(slope) * (0.5 if self.own else 1)  # with `own`, each pair is counted twice
            slope += 0 if w is None else OPS.total(w * known[0])
        return loss, (
            joined(Gu, len(u)) if of_u else None,
            joined(Gv, len(v)) if of_v else None,
            None if w is None else joined(w, len(s)).astype(s.dtype),
            (-slope * scale).astype(temperature.dtype) if of_temperature else None,
        )

    def _sums(self, U: Array, V: Array, rows: Pairs, columns: Pairs, scale: Array) -> tuple[Any, Any]:
        """Return the sums of all rows and, for the symmetric loss, of all columns."""

        def tile(row: Any, row_sums: Any, column: Any, column_sums: Any) -> tuple[Any, Any]:
            (u, row_pairs), (v, column_pairs) = row, column
            S, pairs = product(u, v.T), tile_pairs(row_pairs, column_pairs, self.own)
            row_sums = _added(row_sums, S, pairs, scale, 1)
            return row_sums, _added(column_sums, S, pairs, scale, 0) if self.symmetric else ()

        labelled = rows.labels is not None
        column_sums = _nothing(V, labelled, scale) if self.symmetric else ()
        return sweep(tile, (U, rows), _nothing(U, labelled, scale), (V, columns), column_sums, self.axis)

    def _reduced(self, sums: Any, known: Any, scale: Array, share: float) -> tuple[Array, Weights]:
        """Return `share` times the mean over the rows with a positive, and the weights of its gradient."""
        N, P = sums
        if known is None:
            has = P.number > 0
            count = jnp.where(has, P.number, 1)
            total, mean = jnp.where(has, P.number + P.excess, 1), P.S / count
        else:
            s, has = known
            count = total = jnp.ones_like(s)
            P, mean = Positives(s, jnp.zeros_like(s), count, s), s
        alone = ~has | (N.total == 0)  # a NaN total is not equal to 0
        t = (N.top - P.top) * scale + jnp.log(jnp.where(alone, 1, N.total) / total)
        losses = jnp.where(alone, 0, jax.nn.softplus(t)) + jnp.log(total) + (P.top - mean) * scale
        row = jnp.where(has, share / jnp.maximum(summed(has.astype(scale.dtype), self.axis), 1), 0)
        loss = summed(jnp.where(has, losses, 0) * row, self.axis)
        row *= scale
        others = jnp.where(alone, 0, jax.nn.sigmoid(t)) * row
        return loss, Weights(
            N.top,
            others / jnp.where(alone, 1, N.total),
            P.top,
            row / total,
            P.excess / count,
            others / total,
            others,
        )

    def _gradients(
        self, rows: Any, columns: Any, scale: Array, wanted: tuple[bool, bool, bool]
    ) -> tuple[Any, Any, Any]:
        """Return the gradients in u and v, and the sums of W S over rows, if `wanted`."""
        of_u, of_v, of_temperature = wanted

        def tile(row: Any, row_sums: Any, column: Any, Gv: Any) -> tuple[Any, Any]:
            (u, row_pairs, by_rows), (v, column_pairs, by_columns) = row, column
            S, pairs = product(u, v.T), tile_pairs(row_pairs, column_pairs, self.own)
            W = _weighted(S, pairs, by_rows, scale, 1)
            if by_columns is not None:
                W += _weighted(S, pairs, by_columns, scale, 0)
            Gu, slope = row_sums
            return (
                (Gu + product(W, v) if of_u else Gu, slope + _sum(W * S, 1) if of_temperature else slope),
                Gv + product(W.T, u) if of_v else Gv,
            )

        U, V = rows[0], columns[0]
        Gu, Gv = (jnp.zeros_like(A) if of else () for A, of in ((U, of_u), (V, of_v)))
        slope = jnp.zeros(U.shape[:2], scale.dtype) if of_temperature else ()
        (Gu, slope), Gv = sweep(tile, rows, (Gu, slope), columns, Gv, self.axis)
        return Gu, Gv, slope


def _normal(temperature: Array, u: Array) -> Array:
    """Return the temperature, or the smallest normal number if it is smaller, so that its inverse is finite.

    XLA flushes subnormal numbers to 0 in any case.
    """
    least = jnp.finfo(u.dtype).tiny
    return jnp.where(jnp.abs(temperature) < least, least, temperature)


def _sum(x: Array, axis: int) -> Array:
    return OPS.widen(jnp.sum(x, axis))


def _nothing(x: Array, labelled: bool, scale: Array) -> tuple[Negatives, Positives | None]:
    """Return the initial sums of rows (or columns)."""
    top, zeros = jnp.full(x.shape[:2], BELOW, x.dtype), jnp.zeros(x.shape[:2], scale.dtype)
    return Negatives(top, zeros), Positives(top, zeros, zeros, zeros) if labelled else None


def _added(sums: Any, S: Array, pairs: Any, scale: Array, axis: int) -> tuple[Negatives, Positives | None]:
    """Return the sums with the part of a tile added, for its rows (or columns)."""
    (N, P), (negative, positive) = sums, pairs
    top = _top(N.top, S, negative, axis)
    total = N.total * jnp.exp((N.top - top) * scale)
    N = Negatives(top, total + _sum(_exp(jnp.exp, S, negative, top, scale, axis), axis))
    if positive is None:
        return N, None
    top = _top(P.top, S, positive, axis)
    lower = jnp.expm1((P.top - top) * scale)
    excess = P.excess + (P.excess + P.number) * lower
    return N, Positives(
        top,
        excess + _sum(_exp(jnp.expm1, S, positive, top, scale, axis), axis),
        P.number + _sum(positive.astype(scale.dtype), axis),
        P.S + _sum(jnp.where(positive, S, 0), axis),
    )


def _top(top: Array, S: Array, where: Array, axis: int) -> Array:
    """Return the largest similarity so far, as a constant: the loss does not depend on its choice."""
    return jnp.maximum(top, jnp.max(jax.lax.stop_gradient(S), axis, initial=BELOW, where=where))


def _exp(f: Any, S: Array, where: Array, top: Array, scale: Array, axis: int) -> Array:
    """Return f((S - top) / temperature) if `where`, otherwise 0, with derivatives 0."""
    below = jnp.where(where, S - jnp.expand_dims(top, axis).astype(S.dtype), 0)
    return jnp.where(where, f(below * scale.astype(S.dtype)), 0)


def _weighted(S: Array, pairs: Any, weights: Weights, scale: Array, axis: int) -> Array:
    """Return a tile of the derivatives in the similarities of the loss over rows (or columns)."""
    negative, positive = pairs
    w = Weights(*(jnp.expand_dims(a, axis).astype(S.dtype) for a in weights))
    W = _exp(jnp.exp, S, negative, weights.top, scale, axis) * w.negative
    if positive is None:
        return W
    excess = _exp(jnp.expm1, S, positive, weights.likeliest, scale, axis)
    return W + jnp.where(positive, (excess - w.excess) * w.positive - (1 + excess) * w.drawn, 0)
