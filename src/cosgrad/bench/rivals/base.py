"""The interface between the benchmark and a library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cosgrad.bench.timing import Work
from cosgrad.report.machine import versions

Floats = NDArray[np.float32]
Function = Callable[[Any, Any], Any]
"""A function (N, D), (N, D) -> (N,) of the library's own arrays."""
Quantity = Literal["similarity", "distance"]


@dataclass(frozen=True)
class Functions:
    """A library that has been imported.

    Attributes:
        similarity: S of the paired rows, or 1 - D if the library has only the distance.
        distance: D of the paired rows, or 1 - S if the library has only the similarity.
        loss: Takes two arrays and returns the work of computing the mean distance and both gradients. None
            if the library has no derivatives.
        array: Converts a NumPy array to the library's own.
        wait: Waits until a result is computed.
        native: The quantity that the library computes itself. This one is timed.
    """

    similarity: Function
    distance: Function
    loss: Callable[[Any, Any], Work] | None = None
    array: Callable[[Floats], Any] = lambda array: array
    wait: Callable[[Any], Any] = lambda result: result
    native: Quantity = "similarity"

    def values(self, quantity: Quantity, x: Floats, y: Floats) -> NDArray[np.float64]:
        """Return S or D of the rows as a NumPy array."""
        return np.asarray(self.function(quantity)(self.array(x), self.array(y)), dtype=np.float64)

    def function(self, quantity: Quantity) -> Function:
        """Return the function for this quantity."""
        return self.similarity if quantity == "similarity" else self.distance

    def forward(self, x: Floats, y: Floats) -> Work:
        """Return the work of computing the native quantity of all rows."""
        a, b, do, wait = self.array(x), self.array(y), self.function(self.native), self.wait
        return lambda: wait(do(a, b))

    def backward(self, x: Floats, y: Floats) -> Work | None:
        """Return the work of computing the mean distance with both gradients, or None."""
        return self.loss and self.loss(self.array(x), self.array(y))


@dataclass(frozen=True)
class Library:
    """The description of a library. It imports nothing.

    Attributes:
        name: The name on the command line.
        frontend: The framework whose arrays it takes. It is compared with cosgrad's frontend for it.
        how: The function that is called, as text.
        build: Imports the library.
        packages: The names of its distributions. The first installed one gives the version.
        ours: Whether it is one of cosgrad's frontends.
        pool: Whether its framework keeps allocated memory for later use.
    """

    name: str
    frontend: str
    how: str
    build: Callable[[], Functions]
    packages: tuple[str, ...]
    ours: bool = False
    pool: bool = False

    def version(self) -> str | None:
        """Return the version of the installed distribution, or None."""
        return next(iter(versions(self.packages).values()), None)


def minus(function: Function) -> Function:
    """Return the function 1 - f."""
    return lambda x, y: 1 - function(x, y)
