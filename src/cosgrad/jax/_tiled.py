"""What the tiled losses have in common: their pairs, their derivative, and their sums over devices."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_derivatives import SymbolicZero

from cosgrad.jax._ops import OPS
from cosgrad.jax._tiles import cut

NOBODY = -1  # the place of what fills up the last tile


class Pairs(NamedTuple):
    """Which pairs count, and for what. Everything is in tiles; what does not apply is None.

    Attributes:
        ids: The places of the rows of x, or of y, in the whole batch over all devices.
        partners: Of the rows of x: the places of their one positive.
        labels: Two rows of one label are a positive pair.
        ignore: Of the rows of x: the pairs that do not count, by the columns of all devices.
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
    """Return the places of a device's n rows in the whole batch."""
    first = 0 if axis is None else jax.lax.axis_index(axis) * n
    return first + jnp.arange(n, dtype=jnp.int32)


def tile_pairs(row: Pairs, column: Pairs, own: bool = False) -> tuple[Array, Array | None]:
    """Return where a tile has negatives, and where positives unless each row has one that is known.

    Args:
        row: Of the tile's rows.
        column: Of the tile's columns.
        own: Whether both are rows of one array, where none meets itself.
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
    """Return the matrix product, in full precision on every platform."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def summed(x: Array, axis: Any) -> Array:
    """Sum over everything and all devices, in the dtype to compute in."""
    total = OPS.total(x)
    return total if axis is None else jax.lax.psum(total, axis)


Compute = Callable[[Any, Any, tuple[bool, ...]], tuple[Array, tuple[Array | None, ...]]]


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def value(compute: Compute, axis: Any, operands: tuple[Any, ...], constants: Any) -> Array:
    """Return a loss whose gradients are computed along with it, and only then.

    Args:
        compute: Given the operands, the constants, and for each operand whether its gradient is wanted:
            the loss of the whole batch, and the gradients in this device's operands.
        axis: The name of the mesh axis of the devices, or nothing.
        operands: Arrays, or None.
        constants: What else it is told, never differentiated.

    The derivative along a direction is <gradients, direction>, summed over the devices: linear, so reverse
    mode transposes it and only multiplies. Higher orders differentiate `compute` itself, so they keep in
    reverse mode what every tile has computed.
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
