"""Common code of the tiled losses: their pairs, their derivative, and their sums over devices."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_derivatives import SymbolicZero

from cosgrad.jax._ops import OPS
from cosgrad.jax._tiles import cut

NOBODY = -1  # the index of rows that pad the last tile


class Pairs(NamedTuple):
    """Arrays in tiles that define which pairs are positive, negative or ignored.

    Attributes:
        ids: The indices of the rows of x, or of y, in the whole batch over all devices.
        partners: For rows of x with one known positive, the indices of these positives; otherwise None.
        labels: The labels of the rows, or None. Two rows with the same label are a positive pair.
        ignore: For rows of x, the ignored pairs, with the columns of all devices; or None.
    """

    ids: Array
    partners: Array | None = None
    labels: Array | None = None
    ignore: Array | None = None


def in_tiles(
    ids: Array, partners: Array | None = None, labels: Array | None = None, ignore: Array | None = None
) -> Pairs:
    """Return the pairs in tiles."""
    rest = (None if a is None else cut(a) for a in (partners, labels, ignore))
    return Pairs(cut(ids, NOBODY), *rest)


def places(n: int, axis: Any) -> Array:
    """Return the indices of the n rows of this device in the whole batch."""
    first = 0 if axis is None else jax.lax.axis_index(axis) * n
    return first + jnp.arange(n, dtype=jnp.int32)


def tile_pairs(row: Pairs, column: Pairs, own: bool = False) -> tuple[Array, Array | None]:
    """Return the masks of the negatives and of the positives of a tile.

    If each row has one known positive, the second mask is None.

    Args:
        row: The pairs of the tile's rows.
        column: The pairs of the tile's columns.
        own: Whether both are rows of the same array. A row and itself are not a pair.
    """
    allowed = (row.ids != NOBODY)[:, None] & (column.ids != NOBODY)
    if own:
        allowed &= row.ids[:, None] != column.ids
    if row.ignore is not None:
        allowed &= ~jax.lax.dynamic_slice_in_dim(row.ignore, column.ids[0], len(column.ids), 1)
    if row.partners is not None:
        return allowed & (row.partners[:, None] != column.ids), None
    alike = row.labels[:, None] == column.labels  # type: ignore[index]
    return allowed & ~alike, allowed & alike


def product(a: Array, b: Array) -> Array:
    """Return the matrix product in full precision on every platform."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def summed(x: Array, axis: Any) -> Array:
    """Return the sum of all elements on all devices, in the dtype of the computation."""
    total = OPS.total(x)
    return total if axis is None else jax.lax.psum(total, axis)


Compute = Callable[[Any, Any, tuple[bool, ...]], tuple[Array, tuple[Array | None, ...]]]


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def value(compute: Compute, axis: Any, operands: tuple[Any, ...], constants: Any) -> Array:
    """Return a loss. If it is differentiated, its gradients are computed in the same pass.

    Args:
        compute: Function of the operands, the constants, and a flag for each operand whether its gradient is
            needed. It returns the loss of the whole batch and the gradients in this device's operands.
        axis: The name of the mesh axis of the devices, or None.
        operands: Arrays, or None.
        constants: Further arguments, which are not differentiated.

    The derivative along a direction is <gradients, direction>, summed over the devices. It is linear in the
    direction, so reverse mode transposes it and only multiplies. Higher orders differentiate `compute`
    itself. In reverse mode they store the intermediate values of every tile.
    """
    return compute(operands, constants, (False,) * len(operands))[0]


def _derivative(compute: Compute, axis: Any, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (operands, constants), (directions, _) = primals, tangents
    wanted = tuple(not (d is None or isinstance(d, SymbolicZero)) for d in directions)
    loss, gradients = compute(operands, constants, wanted)
    slopes = [
        OPS.total(g * d).astype(loss.dtype)
        for g, d, w in zip(gradients, directions, wanted, strict=True)
        if w
    ]
    slope = sum(slopes[1:], slopes[0])
    return loss, slope if axis is None else jax.lax.psum(slope, axis)


value.defjvp(_derivative, symbolic_zeros=True)
