"""Memory layouts of arrays, the same for every framework: a buffer, a shape, strides and an offset.

The memory between the elements holds ordinary numbers. So a function that ignores the strides returns a
plausible but wrong result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosgrad.verify.ulp import Array, round_to

NAMES = ("transposed", "every other", "offset", "backwards", "broadcast")


@dataclass(frozen=True)
class Layout:
    """An array in memory. Strides and offset are in elements."""

    name: str
    buffer: Array
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    def view(self) -> Array:
        """Return the array as a NumPy view."""
        return _view(self.buffer, self.shape, self.strides, self.offset)

    def misread(self) -> Array:
        """Return the values that a function reads if it treats the memory as contiguous."""
        strides = tuple(int(np.prod(self.shape[i + 1 :])) for i in range(len(self.shape)))
        return _view(np.resize(self.buffer, 4 * self.buffer.size), self.shape, strides, max(self.offset, 0))


def _view(buffer: Array, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Array:
    return np.lib.stride_tricks.as_strided(
        buffer[offset:], shape=shape, strides=tuple(s * buffer.itemsize for s in strides), writeable=False
    )


def lay(a: Array, name: str, dtype: str) -> Layout:
    """Store a matrix in one of the layouts `NAMES`. "broadcast" repeats its first row with stride 0."""
    rows, n = a.shape
    fill = round_to(np.random.default_rng(a.size).standard_normal(2 * a.size + 7) * 0.5, dtype)
    scale = float(np.max(np.abs(a), initial=0.0)) or 1.0
    fill = round_to(fill * scale, dtype)
    match name:
        case "transposed":
            return Layout(name, a.T.ravel().copy(), a.shape, (1, rows), 0)
        case "every other":
            fill[: 2 * a.size : 2] = a.ravel()
            return Layout(name, fill, a.shape, (2 * n, 2), 0)
        case "offset":
            fill[7 : 7 + a.size] = a.ravel()
            return Layout(name, fill, a.shape, (n, 1), 7)
        case "backwards":
            return Layout(name, a[::-1, ::-1].ravel().copy(), a.shape, (-n, -1), max(a.size - 1, 0))
        case "broadcast":
            fill[:n] = a[0]
            return Layout(name, fill, a.shape, (0, 1), 0)
    raise ValueError(f"layout {name!r} is none of {', '.join(NAMES)}")
