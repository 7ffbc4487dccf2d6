"""The loss of a binary classification of every pair and its gradients, computed tile by tile."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid, softplus

from cosgrad.jax._ops import OPS
from cosgrad.jax._tiled import product, summed, tile_pairs
from cosgrad.jax._tiles import cut, joined, sweep


@dataclass(frozen=True)
class Sigmoid:
    """The loss over all pairs. The pairs of a row with its partner are positive.

    Attributes:
        axis: The name of the mesh axis of the devices, or None.
    """

    axis: Any

    def __call__(
        self, operands: Any, constants: Any, wanted: tuple[bool, ...]
    ) -> tuple[Array, tuple[Array | None, ...]]:
        """Return the loss, and its gradients in the operands.

        Args:
            operands: The unit vectors u and v, the similarities s of the positive pairs, scale and bias.
            constants: The pairs of rows and of columns.
            wanted: Whether to compute the gradient in each operand.
        """
        u, v, s, scale, bias = operands
        rows, columns = constants
        of_u, of_v, of_s, *of_scalars = wanted
        scale, bias = OPS.widen(scale), OPS.widen(bias)

        def tile(row: Any, row_sums: Any, column: Any, Gv: Any) -> tuple[Any, Any]:
            (u, row_pairs), (v, column_pairs) = row, column
            S, (negative, _) = product(u, v.T), tile_pairs(row_pairs, column_pairs)
            logits = S * _finite(scale, S) + _finite(bias, S)
            losses, Gu, WS, W_sum = row_sums
            losses += OPS.widen(jnp.sum(jnp.where(negative, softplus(logits), 0), 1))
            if any(wanted):
                W = jnp.where(negative, sigmoid(logits), 0)
                Gu, Gv = (Gu + product(W, v) if of_u else Gu), (Gv + product(W.T, u) if of_v else Gv)
            if any(of_scalars):
                WS, W_sum = WS + OPS.widen(jnp.sum(W * S, 1)), W_sum + OPS.widen(jnp.sum(W, 1))
            return (losses, Gu, WS, W_sum), Gv

        U, V = cut(u), cut(v)
        zeros = jnp.zeros(U.shape[:2], scale.dtype)
        Gu, Gv = (jnp.zeros_like(A) if of else () for A, of in ((U, of_u), (V, of_v)))
        WS, W_sum = (zeros, zeros) if any(of_scalars) else ((), ())
        (losses, Gu, WS, W_sum), Gv = sweep(
            tile, (U, rows), (zeros, Gu, WS, W_sum), (V, columns), Gv, self.axis
        )
        count = max(len(u), 1) * (1 if self.axis is None else jax.lax.psum(1, self.axis))
        s_wide = OPS.widen(s)
        logits = s_wide * scale + bias
        loss = summed(joined(losses, len(u)) + softplus(-logits), self.axis) / count
        w = -sigmoid(-logits)
        share = _finite(scale / count, u, 1 / 16)  # so that its product with a sum of weights is finite
        gradients = (
            joined(Gu, len(u)) * share if of_u else None,
            joined(Gv, len(v)) * share if of_v else None,
            _finite(w * (scale / count), s, 1 / 16) if of_s else None,
            (OPS.total(WS) + OPS.total(w * s_wide)) / count if any(of_scalars) else None,
            (OPS.total(W_sum) + OPS.total(w)) / count if any(of_scalars) else None,
        )
        return loss, tuple(
            None if g is None else g.astype(o.dtype) for g, o in zip(gradients, operands, strict=True)
        )


def _finite(number: Array, like: Array, part: float = 1.0) -> Array:
    """Return a number in the dtype of `like`, clipped to the given part of the range of this dtype."""
    most = float(jnp.finfo(like.dtype).max) * part
    return jnp.clip(number, -most, most).astype(like.dtype)
