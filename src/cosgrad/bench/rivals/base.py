"""What the bench asks of a library."""

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
"""(N, D), (N, D) -> (N,) in the library's own arrays."""
Quantity = Literal["similarity", "distance"]


@dataclass(frozen=True)
class Functions:
    """A library that has been imported.

    Attributes:
        similarity: S of every row with its row; 1 - D where the library has the distance alone.
        distance: D likewise; 1 - S where it has the similarity alone.
        loss: From arrays to the work of computing the mean distance and its gradients by both; None where
            the library differentiates nothing.
        array: A NumPy array as the library's own.
        wait: Returns when a result is there.
        native: What the library computes itself: that is timed.
    """

    similarity: Function
    distance: Function
    loss: Callable[[Any, Any], Work] | None = None
    array: Callable[[Floats], Any] = lambda array: array
    wait: Callable[[Any], Any] = lambda result: result
    native: Quantity = "similarity"

    def values(self, quantity: Quantity, x: Floats, y: Floats) -> NDArray[np.float64]:
        """S or D of the rows, as NumPy's."""
        return np.asarray(self.function(quantity)(self.array(x), self.array(y)), dtype=np.float64)

    def function(self, quantity: Quantity) -> Function:
        """The one of the two."""
        return self.similarity if quantity == "similarity" else self.distance

    def forward(self, x: Floats, y: Floats) -> Work:
        """The work of computing what is native for all rows."""
        a, b, do, wait = self.array(x), self.array(y), self.function(self.native), self.wait
        return lambda: wait(do(a, b))

    def backward(self, x: Floats, y: Floats) -> Work | None:
        """The work of the mean distance with both gradients, or None."""
        return self.loss and self.loss(self.array(x), self.array(y))


@dataclass(frozen=True)
class Library:
    """A library as the bench knows it before anything is imported.

    Attributes:
        name: On the command line.
        frontend: Whose arrays it takes; it is compared with cosgrad's frontend for them.
        how: What is called.
        build: Imports it.
        packages: Its distributions' names, the first that is installed tells the version.
        ours: Whether it is one of cosgrad's frontends.
        pool: Whether its framework keeps what it has allocated for the next time.
    """

    name: str
    frontend: str
    how: str
    build: Callable[[], Functions]
    packages: tuple[str, ...]
    ours: bool = False
    pool: bool = False

    def version(self) -> str | None:
        """Of the distribution that is installed, or None."""
        return next(iter(versions(self.packages).values()), None)


def minus(function: Function) -> Function:
    """1 - f."""
    return lambda x, y: 1 - function(x, y)
