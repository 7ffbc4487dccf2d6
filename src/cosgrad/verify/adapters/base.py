# ruff: noqa: ARG002 - unsupported methods ignore their arguments
"""The interface between the checks and the frameworks.

Arrays are passed as float64, in which the numbers of all four dtypes are exact. A `Function` reports which
dtypes, transforms and derivatives it supports.
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
    """The function or its framework does not support the call."""


class RaisedError(Exception):
    """The function under test raised an exception, which is chained as the cause."""

    def __init__(self, error: BaseException) -> None:
        text = " ".join(str(error).split()).partition(". ")[0]
        text = text if len(text) <= 120 else text[:117] + "..."
        super().__init__(f"{type(error).__name__}: {text}" if text else type(error).__name__)


class WrongResultError(Exception):
    """The function did not return an array of the shape that its signature requires."""


class NoGradientError(Exception):
    """The gradient is missing, because the framework sees no dependence of the result on the arguments."""


@contextmanager
def own_threads(count: int) -> Iterator[None]:
    """Set the number of threads that the package starts itself, inside the context."""
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
    """The result of a plain call: one number per row, its dtype, and whether the call changed an argument."""

    values: Array
    dtype: str
    mutated: bool


class Function(ABC):
    """A cosine similarity or distance, of a user or of this package, called on rows.

    Args:
        function: The function to call.
        quantity: The quantity that it returns.
        signature: Its shapes: `rows` (N, D), (N, D) -> (N,); `vectors` (D,), (D,) -> (); `columns`
            (n, 1), (n, 1) -> (1, 1). The last two are called once per row.
        beat: Called after every call, so that a watchdog can detect a call that hangs.
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
        """The factor of its derivatives relative to those of the similarity: 1 or -1."""
        return 1.0 if self.quantity == "similarity" else -1.0

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Convert exceptions of the function under test to `RaisedError`. Use it around every call."""
        try:
            yield
        except (UnsupportedError, RaisedError, WrongResultError, NoGradientError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise RaisedError(error) from error
        finally:
            self.beat()

    def expected(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the result for arguments of this shape."""
        return {"rows": shape[:-1], "vectors": (), "columns": (1, 1)}[self.signature]

    def check_shape(self, got: tuple[int, ...], given: tuple[int, ...]) -> None:
        """Raise `WrongResultError` if the shape is wrong. The message suggests a cause."""
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
        """Return why the function cannot take two positional arguments, if its signature shows that."""
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
        """Return the dtypes that the framework has, the widest first."""

    @abstractmethod
    def value(self, x: Array, y: Array, dtype: str, layout: str | None = None) -> Output:
        """Call the function on rows."""

    def vjp(self, x: Array, y: Array, g: Array, dtype: str, layout: str | None = None) -> tuple[Array, Array]:
        """Return the gradients of <g, f(x, y)>."""
        raise UnsupportedError(f"{self.framework} functions carry no gradient")

    def every_pair(
        self, x: Array, y: Array, g: Array, dtype: str
    ) -> tuple[Array, Array | None, Array | None]:
        """Return the values (M, N) of (M, 1, D) and (N, D), and the gradients.

        The caller does not materialise the pairs.
        """
        raise UnsupportedError("asked of the package's own functions")

    def normalize(self, x: Array, g: Array, dtype: str) -> tuple[Array, Array | None]:
        """Return the unit vector x / |x| and its VJP with g."""
        raise UnsupportedError("asked of the package's own functions")

    def distance_loss(self, x: Array, y: Array, dtype: str, weights: Array | None, reduction: str) -> float:
        """Return the distance loss with this reduction, optionally weighted."""
        raise UnsupportedError("asked of the package's own functions")

    def embedding_loss(self, x: Array, y: Array, target: Array, margin: float, dtype: str) -> Array:
        """Return 1 - S for a target of +1, or max(0, S - margin) for -1, for each row."""
        raise UnsupportedError("asked of the package's own functions")

    def jvp(self, x: Array, y: Array, u: Array, v: Array, dtype: str) -> Array:
        """Return the derivative along (u, v), by forward mode if the framework has one."""
        raise UnsupportedError(f"{self.framework} functions carry no derivative")

    def hvp(
        self, x: Array, y: Array, u: Array, v: Array, g: Array, dtype: str
    ) -> tuple[Array, Array, Array | None]:
        """Return the gradients of <u, gx> + <v, gy> with respect to x, y and g."""
        raise UnsupportedError(f"{self.framework} functions carry no second derivative")

    def vmap(self, x: Array, y: Array, dtype: str) -> Array:
        """Return the values through the framework's batching transform."""
        raise UnsupportedError(f"{self.framework} has no such transform")

    def vmap_gradient(self, x: Array, y: Array, dtype: str) -> tuple[Array, Array]:
        """Return the gradients through the batching transform, applied to the differentiated function."""
        raise UnsupportedError(f"{self.framework} has no such transform")

    def compiled(
        self, x: Array, y: Array, g: Array, dtype: str, whole: bool = False
    ) -> tuple[Array, Array, Array]:
        """Return values and gradients through the compiler if `whole`, or only through its faster tracing."""
        raise UnsupportedError(f"{self.framework} has no compiler")

    def without_kernel(self, x: Array, y: Array, g: Array, dtype: str) -> tuple[Array, Array, Array]:
        """Return values and gradients by the closed forms, if the frontend can be run without the kernel."""
        raise UnsupportedError("only for frontends that can be run without the kernel")

    @contextmanager
    def threads(self, count: int) -> Iterator[None]:
        """Set the number of threads that the framework uses, inside the context."""
        raise UnsupportedError(f"{self.framework} does not say how many threads it uses")
        yield  # type: ignore[unreachable]
