"""Adapters of NumPy: users' functions have no derivatives, the frontend has separate functions for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from cosgrad.verify.adapters.base import (
    Function,
    Output,
    Quantity,
    UnsupportedError,
    WrongResultError,
    own_threads,
)
from cosgrad.verify.layouts import lay
from cosgrad.verify.ulp import Array


def _bfloat16() -> Any | None:
    try:
        import ml_dtypes
    except ModuleNotFoundError:
        return None
    return np.dtype(ml_dtypes.bfloat16)


class NumpyFunction(Function):
    """A user's function of two NumPy arrays."""

    framework = "numpy"

    def dtypes(self) -> tuple[str, ...]:
        """Return NumPy's own dtypes, which do not include bfloat16."""
        return ("float64", "float32", "float16")

    def _dtype(self, name: str) -> Any:
        if name == "bfloat16":
            if (bfloat16 := _bfloat16()) is None:
                raise UnsupportedError("NumPy has bfloat16 only where ml_dtypes is installed")
            return bfloat16
        return np.dtype(name)

    def array(self, a: Array, dtype: str, layout: str | None = None) -> Any:
        """Return an array of this dtype with this memory layout."""
        d = self._dtype(dtype)
        if layout is None:
            return a.astype(d)
        lie = lay(a, layout, dtype)
        buffer = lie.buffer.astype(d)
        return np.lib.stride_tricks.as_strided(
            buffer[lie.offset :], lie.shape, tuple(s * buffer.itemsize for s in lie.strides)
        )

    def _call(self, x: Any, y: Any) -> Any:
        with self.guarded():
            s = self.function(x, y)
        if not isinstance(s, np.ndarray | np.generic | float):
            raise WrongResultError(f"returned {type(s).__name__}, expected a NumPy array")
        s = np.asarray(s)
        self.check_shape(s.shape, x.shape)
        return s

    def _rows(self, x: Any, y: Any) -> Any:
        if self.signature == "rows":
            return self._call(x, y)
        if self.signature == "columns":
            return np.stack(
                [self._call(a[:, None], b[:, None]).reshape(()) for a, b in zip(x, y, strict=True)]
            )
        return np.stack([self._call(a, b) for a, b in zip(x, y, strict=True)])

    def value(self, x: Array, y: Array, dtype: str, layout: str | None = None) -> Output:
        """Call the function on rows."""
        a, b = self.array(x, dtype, layout), self.array(y, dtype, layout)
        before = a.copy(), b.copy()
        with np.errstate(all="ignore"):
            s = self._rows(a, b)
        mutated = not (np.array_equal(a, before[0], True) and np.array_equal(b, before[1], True))
        return Output(s.astype(np.float64), s.dtype.name, mutated)

    @contextmanager
    def threads(self, count: int) -> Iterator[None]:
        """Set the package's environment variable. Users' functions choose their own number of threads."""
        with own_threads(count):
            yield


class NumpyFrontend(NumpyFunction):
    """`cosgrad.numpy`, whose derivatives are separate functions."""

    def __init__(self, quantity: Quantity = "similarity", beat: Callable[[], None] = lambda: None) -> None:
        import cosgrad.numpy as frontend

        self.frontend = frontend
        function = frontend.cosine_similarity if quantity == "similarity" else frontend.cosine_distance
        super().__init__(function, quantity, "rows", beat)

    def dtypes(self) -> tuple[str, ...]:
        """Return the dtypes, with bfloat16 if ml_dtypes is installed."""
        return (*super().dtypes(), *(("bfloat16",) if _bfloat16() is not None else ()))

    def _similarity_only(self) -> None:
        if self.quantity == "distance":
            raise UnsupportedError("the derivatives of the distance are minus those of the similarity")

    def vjp(self, x: Array, y: Array, g: Array, dtype: str, layout: str | None = None) -> tuple[Array, Array]:
        """Call `cosine_similarity_grad`."""
        self._similarity_only()
        a, b, c = self.array(x, dtype, layout), self.array(y, dtype, layout), self.array(g, dtype)
        with self.guarded():
            gx, gy = self.frontend.cosine_similarity_grad(a, b, c)
        return gx.astype(np.float64), gy.astype(np.float64)

    def jvp(self, x: Array, y: Array, u: Array, v: Array, dtype: str) -> Array:
        """Call `cosine_similarity_jvp`."""
        self._similarity_only()
        with self.guarded():
            s = self.frontend.cosine_similarity_jvp(*(self.array(a, dtype) for a in (x, y, u, v)))
        return np.asarray(s, dtype=np.float64)

    def hvp(
        self, x: Array, y: Array, u: Array, v: Array, g: Array, dtype: str
    ) -> tuple[Array, Array, Array | None]:
        """Call `cosine_similarity_hvp`."""
        self._similarity_only()
        with self.guarded():
            hx, hy = self.frontend.cosine_similarity_hvp(*(self.array(a, dtype) for a in (x, y, u, v, g)))
        return hx.astype(np.float64), hy.astype(np.float64), None

    def every_pair(
        self, x: Array, y: Array, g: Array, dtype: str
    ) -> tuple[Array, Array | None, Array | None]:
        """Broadcast the arguments. `cosine_similarity_grad` sums the gradients of a broadcast operand."""
        a, b = self.array(x, dtype)[:, None], self.array(y, dtype)
        with self.guarded():
            s = self.function(a, b)
            if self.quantity == "distance":
                return s.astype(np.float64), None, None
            gx, gy = self.frontend.cosine_similarity_grad(a, b, self.array(g, dtype))
        return s.astype(np.float64), gx[:, 0].astype(np.float64), gy.astype(np.float64)

    def normalize(self, x: Array, g: Array, dtype: str) -> tuple[Array, Array | None]:  # noqa: ARG002
        """Call `normalize`, which has no derivative here."""
        with self.guarded():
            return self.frontend.normalize(self.array(x, dtype)).astype(np.float64), None

    def distance_loss(self, x: Array, y: Array, dtype: str, weights: Array | None, reduction: str) -> float:
        """Call `cosine_distance_loss`."""
        w = None if weights is None else self.array(weights, dtype)
        with self.guarded():
            loss = self.frontend.cosine_distance_loss
            return float(loss(self.array(x, dtype), self.array(y, dtype), weights=w, reduction=reduction))

    def embedding_loss(self, x: Array, y: Array, target: Array, margin: float, dtype: str) -> Array:
        """Call `cosine_embedding_loss`."""
        a, b, t = self.array(x, dtype), self.array(y, dtype), target.astype(np.int64)
        with self.guarded():
            loss = self.frontend.cosine_embedding_loss(a, b, t, margin=margin, reduction="none")
        return np.asarray(loss, dtype=np.float64)
