"""Code that all frontends share: errors, checks of arguments, and the reduction of losses.

This module imports no framework. A frontend passes its argument names and error classes as a `Frontend`, and
its array operations as an `Ops`.
"""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

Array: TypeAlias = Any
Shape: TypeAlias = tuple[int, ...]

REDUCTIONS: Final = ("none", "sum", "mean", "weighted_mean", "nonzero_mean")


class Ops(Protocol):
    """The array operations that closed forms and reductions need, besides `+ - * /` and comparisons.

    `axis` is not negative. Every reduction over it keeps it with length 1.
    """

    def widen(self, x: Array) -> Array:
        """Return x in the dtype of the computation: float32 for half types, else float64 if available."""

    def cast(self, x: Array, like: Array) -> Array:
        """Return x in the dtype of `like`."""

    def detach(self, x: Array) -> Array:
        """Return x as a constant, which has no derivative."""

    def zeros(self, like: Array) -> Array:
        """Return zeros of the shape and dtype of `like`."""

    def where(self, condition: Array, x: Array, y: Array) -> Array:
        """Select elements by a condition. Either branch may be a Python scalar."""

    def sqrt(self, x: Array) -> Array:
        """Return the square root."""

    def isfinite(self, x: Array) -> Array:
        """Return whether each element is neither NaN nor infinite."""

    def sum(self, x: Array, axis: int | Shape) -> Array:
        """Sum over one or several axes."""

    def largest(self, x: Array, axis: int) -> Array:
        """Return max |x_i| as a constant: NaN if an element is NaN, 0 for an empty axis."""

    def inverse_powers(self, m: Array) -> tuple[Array, Array]:
        """Return two powers of two, as constants, whose product times m is from 2 to 4.

        Their exponents are equal, or the first is greater by 1. Their product is a normal number, so for a
        subnormal m the product times m is less than 2. If m is not finite, both are NaN.
        """

    def limits(self, x: Array) -> tuple[float, float]:
        """Return the machine epsilon and the largest number of the dtype of x."""

    def total(self, x: Array) -> Array:
        """Return the sum of all elements, in the widened dtype. The order does not depend on the threads."""


@dataclass(frozen=True)
class Frontend:
    """A framework's words for error messages and its exception classes, with the checks that use them."""

    axis: str
    array: str
    axis_error: type[ValueError] = ValueError
    shape_error: type[ValueError] = ValueError
    dtype_error: type[TypeError] = TypeError

    def check_axis(self, axis: int, rank: int) -> int:
        """Return the axis counted from the front. A scalar counts as a vector of length 1."""
        try:
            index = operator.index(axis)
        except TypeError:
            raise TypeError(f"{self.axis}={axis!r} must be an integer") from None
        count = rank or 1
        if -count <= index < count:
            return index % count
        raise self.axis_error(f"{self.axis}={axis} is out of range for {self.array}s of rank {rank}")

    def check_broadcast(self, x_name: str, x: Shape, y_name: str, y: Shape) -> Shape:
        """Return the shape to which both broadcast."""
        rank = max(len(x), len(y))
        shape = []
        for a, b in zip((1,) * (rank - len(x)) + x, (1,) * (rank - len(y)) + y, strict=True):
            if a != b and a != 1 and b != 1:
                raise self.shape_error(
                    f"{x_name} of shape {x} and {y_name} of shape {y} must broadcast to one shape"
                )
            shape.append(b if a == 1 else a)
        return tuple(shape)

    def check_matrices(self, x: Shape, y: Shape) -> None:
        """Raise an error unless x and y are matrices with rows of one length and batches that broadcast."""
        for name, shape in (("x", x), ("y", y)):
            if len(shape) < 2:
                raise self.shape_error(f"{name} of shape {shape} must have at least two axes, (..., N, D)")
        if x[-1] != y[-1]:
            raise self.shape_error(f"x of shape {x} and y of shape {y} must have rows of one length")
        batches = zip(reversed(x[:-2]), reversed(y[:-2]), strict=False)
        if any(a != b and a != 1 and b != 1 for a, b in batches):
            raise self.shape_error(f"x of shape {x} and y of shape {y} must have batches that broadcast")

    def check_rows(self, name: str, shape: Shape) -> None:
        """Raise an error unless the shape has two axes."""
        if len(shape) != 2:
            raise self.shape_error(f"{name} of shape {shape} must have two axes, (N, D)")

    def check_contrastive(self, x: Shape, y: Shape, labels: bool, symmetric: bool) -> None:
        """Raise an error unless rows have one length and, without labels, y has the positives of all rows."""
        self.check_rows("x", x)
        self.check_rows("y", y)
        if x[1] != y[1]:
            raise self.shape_error(f"x of shape {x} and y of shape {y} must have rows of one length")
        if not labels and (x[0] > y[0] or (symmetric and x[0] != y[0])):
            takes = "as many" if symmetric else "at least as many"
            raise self.shape_error(
                f"y of shape {y} must have {takes} rows as x of shape {x}: the positive of row i is column i"
            )

    def check_views(self, z: Shape, labels: bool) -> None:
        """Raise an error unless z has two axes and, without labels, two views of every row."""
        self.check_rows("z", z)
        if not labels and z[0] % 2:  # labels first: torch.compile guards what it evaluates
            raise self.shape_error(
                f"z of shape {z} must have an even number of rows, all of view 1 and then all of view 2, "
                "or labels"
            )

    def check_shape(self, name: str, shape: Shape, takes: Shape) -> None:
        """Raise an error unless the shape is the expected one."""
        if shape != takes:
            raise self.shape_error(f"{name} of shape {shape} must be of shape {takes}")

    def check_fits(self, name: str, shape: Shape, batch: Shape, what: str = "the losses' shape") -> None:
        """Raise an error unless a shape broadcasts to `batch` without enlarging it; `what` names `batch`."""
        fits = len(shape) <= len(batch) and all(
            a == 1 or a == b  # not `in`: torch.compile guards comparisons
            for a, b in zip(reversed(shape), reversed(batch), strict=False)
        )
        if not fits:
            raise self.shape_error(
                f"{name} of shape {shape} must broadcast to {what} {batch} without enlarging it"
            )

    def refuse_dtype(self, name: str, dtype: object, takes: str) -> TypeError:
        """Return the error for an array of an unsupported dtype."""
        return self.dtype_error(f"{name} is of dtype {dtype}, must be {takes}")


def check_eps(eps: float) -> float:
    """Return eps as a float, or raise an error if it is negative or NaN."""
    try:
        value = float(eps)
    except (TypeError, ValueError):
        raise TypeError(f"eps={eps!r} must be a number") from None
    if not value >= 0:
        raise ValueError(f"eps={_shown(eps)} must be at least 0")
    return value


def _shown(number: float) -> str:
    """Return a number as text for a message. `torch.compile` can format only the result of `float`."""
    return f"{number if isinstance(number, int) else float(number)!r}"


def check_labels(labels_x: object, labels_y: object) -> bool:
    """Return whether there are labels, or raise an error if only one side has them."""
    for name, other, given, missing in (
        ("labels_x", "labels_y", labels_x, labels_y),
        ("labels_y", "labels_x", labels_y, labels_x),
    ):
        if given is not None and missing is None:
            raise ValueError(f"{name} is given without {other}, must be given with it or not at all")
    return labels_x is not None


def check_temperature(temperature: float) -> float:
    """Return the temperature, or raise an error unless it is finite and greater than 0."""
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature={_shown(temperature)} must be finite and greater than 0")
    return temperature


def check_finite(name: str, value: float) -> float:
    """Return a number, or raise an error if it is not finite."""
    if not -math.inf < value < math.inf:  # torch.compile traces this, but not math.isfinite
        raise ValueError(f"{name}={_shown(value)} must be finite")
    return value


def check_reduction(reduction: str) -> str:
    """Return the reduction, or raise an error if it is unknown."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction={reduction!r} must be one of {', '.join(map(repr, REDUCTIONS))}")
    return reduction


def refuse_target(value: object, unsigned: str | None = None) -> ValueError:
    """Return the error for a target of the embedding loss that is neither +1 nor -1.

    Args:
        value: The value.
        unsigned: The dtype of the target, if it cannot hold -1.
    """
    cure = f"; {unsigned} cannot hold -1: make the target in a signed or floating dtype" if unsigned else ""
    return ValueError(f"target holds {value}, must hold only +1 and -1{cure}")


def check_target(target: Any) -> None:
    """Raise an error if the target of the embedding loss, a NumPy array, has values other than +1 and -1."""
    wrong = target[(target != 1) & (target != -1)]
    if wrong.size:
        raise refuse_target(wrong.flat[0].item(), str(target.dtype) if target.dtype.kind == "u" else None)


def size(shape: Sequence[int]) -> int:
    """Return the number of elements."""
    return math.prod(shape)


def _count(x: Array | None) -> int:
    return 1 if x is None else max(size(x.shape), 1)


def reduce(
    ops: Ops, losses: Array, weights: Array | None, reduction: str, counts: tuple[Any, Any] | None = None
) -> Array:
    """Multiply the losses of single vectors by weights and reduce them.

    A weight of 0 excludes its row: the row adds 0 to the result, even if its loss is NaN. The derivative with
    respect to the weight is the loss if that is finite. If a denominator is 0, the result and its gradient
    are 0. Half types are multiplied and summed in a wider type and rounded once.

    Args:
        ops: The frontend's operations.
        losses: The losses, one per vector, in any shape.
        weights: An array that broadcasts to that shape, or None for ones.
        reduction: One of `REDUCTIONS`.
        counts: The numbers of losses and of weights, each at least 1, if their shapes are unknown.
    """
    n, m = counts or (_count(losses), _count(weights))
    if weights is None:
        if reduction == "none":
            return losses
        total = ops.total(losses)
        return ops.cast(total if reduction == "sum" else total / n, losses)
    wide = ops.widen(losses)
    w = ops.cast(weights, wide)
    weighted = w * ops.where((w == 0) & ~ops.isfinite(wide), 0, wide)
    if reduction == "none":
        return ops.cast(weighted, losses)
    total = ops.total(weighted)
    if reduction == "sum":
        return ops.cast(total, losses)
    if reduction == "mean":
        return ops.cast(total / n, losses)
    repeats = n / m  # the number of losses to which broadcasting applies each weight
    count = ops.total(w if reduction == "weighted_mean" else ops.cast(w != 0, w)) * repeats
    empty = count == 0
    return ops.cast(ops.where(empty, 0, total / ops.where(empty, 1, count)), losses)
