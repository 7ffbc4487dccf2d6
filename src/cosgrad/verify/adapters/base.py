# ruff: noqa: ARG002 - what is not supported refuses whatever it is given
"""The small vocabulary in which every check speaks to every framework.

Arrays cross this seam as float64, in which all four dtypes embed; a function says of itself in which dtypes,
transforms and derivatives it can be asked.
"""

from __future__ import annotations

import inspect
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from cosgrad.verify.ulp import Array

Quantity = Literal["similarity", "distance"]
Signature = Literal["rows", "vectors", "columns"]


class UnsupportedError(Exception):
    """The function, or its framework, does not offer what a check asks for."""


class RaisedError(Exception):
    """The function raised where it was called; the cause is chained."""

    def __init__(self, error: BaseException) -> None:
        text = " ".join(str(error).split()).partition(". ")[0]
        text = text if len(text) <= 120 else text[:117] + "..."
        super().__init__(f"{type(error).__name__}: {text}" if text else type(error).__name__)


class WrongResultError(Exception):
    """The function returned, but not an array of the shape that its signature promises."""


class NoGradientError(Exception):
    """The result does not depend on the arguments as far as the framework's differentiation knows."""


@contextmanager
def own_threads(count: int) -> Iterator[None]:
    """While inside, the package starts this many threads, where it starts its own."""
    before = os.environ.get("COSGRAD_NUM_THREADS")
    os.environ["COSGRAD_NUM_THREADS"] = str(count)
    try:
        yield
    finally:
        if before is None:
            del os.environ["COSGRAD_NUM_THREADS"]
        else:
            os.environ["COSGRAD_NUM_THREADS"] = before


@dataclass(frozen=True)
class Output:
    """What a plain call gave: one number per row, its dtype, and whether an argument changed meanwhile."""

    values: Array
    dtype: str
    mutated: bool


class Function(ABC):
    """A cosine similarity or distance of somebody's, called on rows.

    Args:
        function: What is called.
        quantity: What it returns.
        signature: How it is called: `rows` (N, D), (N, D) -> (N,); `vectors` (D,), (D,) -> (); `columns`
            (n, 1), (n, 1) -> (1, 1). The last two are called once per row.
        beat: Told of every call, so that a watchdog knows that none hangs.
    """

    framework: ClassVar[str]

    def __init__(
        self,
        function: Callable[..., Any],
        quantity: Quantity = "similarity",
        signature: Signature = "rows",
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self.function = function
        self.quantity: Quantity = quantity
        self.signature: Signature = signature
        self.beat = beat

    @property
    def sign(self) -> float:
        """The sign of its derivatives, given those of the similarity."""
        return 1.0 if self.quantity == "similarity" else -1.0

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Around every call of somebody's code: what it raises becomes `RaisedError`."""
        try:
            yield
        except (UnsupportedError, RaisedError, WrongResultError, NoGradientError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise RaisedError(error) from error
        finally:
            self.beat()

    def expected(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the result for arguments of this shape."""
        return {"rows": shape[:-1], "vectors": (), "columns": (1, 1)}[self.signature]

    def check_shape(self, got: tuple[int, ...], given: tuple[int, ...]) -> None:
        """Raise `WrongResultError`, and say what the shape suggests."""
        want = self.expected(given)
        if got == want:
            return
        hint = ""
        if self.signature == "rows":
            if got == given[1:]:
                hint = ": it reduces the first axis, not the last"
            elif got == (*want, 1):
                hint = ": it keeps the reduced axis"
            elif got == ():
                hint = ": it reduces the batch too"
            elif got == given:
                hint = ": it reduces nothing"
            elif got == want * 2:
                hint = ": it compares every row with every row"
        raise WrongResultError(
            f"returned shape {got} for two arguments of shape {given}, expected {want}{hint}"
        )

    def bind(self) -> str | None:
        """Why two positional arguments do not fit, where that can be seen without a call."""
        try:
            signature = inspect.signature(self.function)
        except (TypeError, ValueError):
            return None
        try:
            signature.bind(object(), object())
        except TypeError as error:
            return f"{signature}: {error}"
        return None

    @abstractmethod
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes that the framework has, the widest first."""

    @abstractmethod
    def value(self, x: Array, y: Array, dtype: str, layout: str | None = None) -> Output:
        """The plain call."""

    def vjp(self, x: Array, y: Array, g: Array, dtype: str, layout: str | None = None) -> tuple[Array, Array]:
        """The gradients of <g, f(x, y)>."""
        raise UnsupportedError(f"{self.framework} functions carry no gradient")

    def every_pair(
        self, x: Array, y: Array, g: Array, dtype: str
    ) -> tuple[Array, Array | None, Array | None]:
        """Values (M, N) and gradients of (M, 1, D) against (N, D), never materialised by the caller."""
        raise UnsupportedError("asked of the package's own functions")

    def normalize(self, x: Array, g: Array, dtype: str) -> tuple[Array, Array | None]:
        """The unit vector x / |x|, and its vector-Jacobian product with g."""
        raise UnsupportedError("asked of the package's own functions")

    def distance_loss(self, x: Array, y: Array, dtype: str, weights: Array | None, reduction: str) -> float:
        """The mean distance, and its weighted relatives."""
        raise UnsupportedError("asked of the package's own functions")

    def embedding_loss(self, x: Array, y: Array, target: Array, margin: float, dtype: str) -> Array:
        """1 - S for a target of +1, max(0, S - margin) for -1; one per row."""
        raise UnsupportedError("asked of the package's own functions")

    def jvp(self, x: Array, y: Array, u: Array, v: Array, dtype: str) -> Array:
        """The derivative along (u, v), by forward mode where the framework has one."""
        raise UnsupportedError(f"{self.framework} functions carry no derivative")

    def hvp(
        self, x: Array, y: Array, u: Array, v: Array, g: Array, dtype: str
    ) -> tuple[Array, Array, Array | None]:
        """The gradients of <u, gx> + <v, gy> in x, y and g."""
        raise UnsupportedError(f"{self.framework} functions carry no second derivative")

    def vmap(self, x: Array, y: Array, dtype: str) -> Array:
        """The values through the framework's batching transform."""
        raise UnsupportedError(f"{self.framework} has no such transform")

    def vmap_gradient(self, x: Array, y: Array, dtype: str) -> tuple[Array, Array]:
        """The gradients through batching of differentiation."""
        raise UnsupportedError(f"{self.framework} has no such transform")

    def compiled(
        self, x: Array, y: Array, g: Array, dtype: str, whole: bool = False
    ) -> tuple[Array, Array, Array]:
        """Values and gradients through the compiler, or only through its tracing, which is quick."""
        raise UnsupportedError(f"{self.framework} has no compiler")

    def without_kernel(self, x: Array, y: Array, g: Array, dtype: str) -> tuple[Array, Array, Array]:
        """Return values and gradients by the closed forms, if the frontend can be run without the kernel."""
        raise UnsupportedError("only for frontends that can be run without the kernel")

    @contextmanager
    def threads(self, count: int) -> Iterator[None]:
        """While inside, the framework uses this many threads."""
        raise UnsupportedError(f"{self.framework} does not say how many threads it uses")
        yield  # type: ignore[unreachable]
