"""Loops over the tiles of a matrix of all rows with all columns, without the whole matrix in memory.

On several devices, the columns travel in a ring. So the rows of every device meet the columns of all devices.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from cosgrad.jax._arguments import varying_alike

# Measured on a CPU. Larger tiles do not fit into its caches, and smaller tiles slow down the matrix product.
LARGEST = 1024


def cut(x: Array, fill: float = 0) -> Array:
    """Return the rows of x in tiles of equal length, (tiles, rows of a tile, ...). The last one is padded."""
    tiles = -(-len(x) // LARGEST)
    padding = ((0, missing(len(x))), *((0, 0),) * (x.ndim - 1))
    padded = jnp.pad(x, padding, constant_values=fill)
    return padded.reshape(tiles, len(padded) // max(tiles, 1), *x.shape[1:])


def missing(n: int) -> int:
    """Return the number of rows that pad the last tile of n rows."""
    return -n % max(-(-n // LARGEST), 1)


def joined(tiles: Array, n: int) -> Array:
    """Return the n rows of tiles that `cut` made, without the padding."""
    count, length, *rest = tiles.shape
    return tiles.reshape(count * length, *rest)[:n]


def sweep(
    tile: Callable[[Any, Any, Any, Any], tuple[Any, Any]],
    rows: Any,
    row_sums: Any,
    columns: Any,
    column_sums: Any,
    axis: Any = None,
) -> tuple[Any, Any]:
    """Return sums for all rows and all columns, accumulated over the tiles.

    Args:
        tile: Function of the rows of a tile, their sums so far, its columns, and their sums so far. It
            returns both sums with the tile's part added.
        rows: Trees of arrays in tiles, (tiles, rows of a tile, ...).
        row_sums: The initial sums of the rows, in tiles.
        columns: As rows.
        column_sums: As row_sums.
        axis: The name of the mesh axis along which the devices form a ring, or None. The columns and their
            sums travel along the ring, and are back on their device at the end.
    """
    rows, row_sums, columns, column_sums = varying_alike((rows, row_sums, columns, column_sums))

    def meet(row_sums: Any, columns: Any, column_sums: Any) -> tuple[Any, Any]:
        def row_step(column_sums: Any, row: Any) -> tuple[Any, Any]:
            def column_step(sums: Any, column: Any) -> tuple[Any, Any]:
                return tile(row[0], sums, *column)

            sums, column_sums = jax.lax.scan(column_step, row[1], (columns, column_sums))
            return column_sums, sums

        column_sums, row_sums = jax.lax.scan(row_step, column_sums, (rows, row_sums))
        return row_sums, column_sums

    if axis is None:
        return meet(row_sums, columns, column_sums)
    devices = jax.lax.psum(1, axis)
    following = [(i, (i + 1) % devices) for i in range(devices)]

    def ring_step(carried: Any, _: None) -> tuple[Any, None]:
        row_sums, columns, column_sums = carried
        row_sums, column_sums = meet(row_sums, columns, column_sums)
        columns, column_sums = jax.tree.map(
            lambda a: jax.lax.ppermute(a, axis, following), (columns, column_sums)
        )
        return (row_sums, columns, column_sums), None

    (row_sums, _, column_sums), _ = jax.lax.scan(
        ring_step, (row_sums, columns, column_sums), None, length=devices
    )
    return row_sums, column_sums
