"""Adapters of TensorFlow: eager calls, tapes, forward accumulators, vectorised maps, tracing and compilation.

NumPy converts the numbers, because TensorFlow's own conversions would flush subnormal numbers to zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ml_dtypes
import numpy as np
import tensorflow as tf

from cosgrad.verify.adapters.base import (
    Function,
    NoGradientError,
    Output,
    Quantity,
    UnsupportedError,
    WrongResultError,
    own_threads,
)
from cosgrad.verify.ulp import Array

_DTYPES = {
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
_LAYOUT = "TensorFlow's tensors are dense"


def _numbers(t: Any) -> Array:
    return np.asarray(t.numpy()).astype(np.float64)


def _or_zeros(grads: Sequence[Any], like: Sequence[Any]) -> list[Any]:
    return [
        tf.zeros_like(t) if grad is None else tf.convert_to_tensor(grad)
        for grad, t in zip(grads, like, strict=True)
    ]


class TensorflowFunction(Function):
    """A user's function of two tensors, on TensorFlow's default device."""

    framework = "tensorflow"
    device: str | None = None

    def dtypes(self) -> tuple[str, ...]:
        """Return the four dtypes."""
        return tuple(_DTYPES)

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Set the device and convert exceptions. Use it around every computation."""
        with tf.device(self.device), self.guarded():
            yield

    def tensor(self, a: Array, dtype: str) -> Any:
        """Return a tensor of this dtype."""
        return tf.constant(a.astype(_DTYPES[dtype]))

    def _call(self, x: Any, y: Any) -> Any:
        with self.guarded():
            s = self.function(x, y)
        if not isinstance(s, tf.Tensor):
            raise WrongResultError(f"returned {type(s).__name__}, expected a tensor")
        if s.shape.is_fully_defined():
            self.check_shape(tuple(s.shape), tuple(x.shape))
        return s

    def _rows(self, x: Any, y: Any) -> Any:
        if self.signature == "rows":
            return self._call(x, y)
        return tf.stack([self._one(a, b) for a, b in zip(tf.unstack(x), tf.unstack(y), strict=True)])

    def _one(self, x: Any, y: Any) -> Any:
        """Return the number for two vectors."""
        match self.signature:
            case "rows":
                return self._call(x[None], y[None])[0]
            case "vectors":
                return self._call(x, y)
            case "columns":
                return self._call(x[:, None], y[:, None])[0, 0]

    def value(self, x: Array, y: Array, dtype: str, layout: str | None = None) -> Output:
        """Call the function on rows, eagerly."""
        if layout is not None:
            raise UnsupportedError(_LAYOUT)
        with self.asked():
            arguments = [self.tensor(t, dtype) for t in (x, y)]
            before = [_numbers(t) for t in arguments]
            s = self._rows(*arguments)
            pairs = zip(map(_numbers, arguments), before, strict=True)
            mutated = not all(np.array_equal(after, t, True) for after, t in pairs)
            return Output(_numbers(s), s.dtype.name, mutated)

    def _pulled_back(self, x: Any, y: Any, g: Any, function: Any = None) -> tuple[Any, Any, Any]:
        """Return the result and both gradients. The call can be traced and differentiated again."""
        with tf.GradientTape() as tape:
            tape.watch([x, y])
            s = (function or self._rows)(x, y)
        grads = tape.gradient(s, [x, y], output_gradients=g if g.dtype == s.dtype else tf.cast(g, s.dtype))
        if all(grad is None for grad in grads):
            raise NoGradientError("the graph is cut: the tape sees no way from the arguments to the result")
        gx, gy = _or_zeros(grads, (x, y))
        return s, gx, gy

    def vjp(self, x: Array, y: Array, g: Array, dtype: str, layout: str | None = None) -> tuple[Array, Array]:
        """Use `tf.GradientTape`."""
        if layout is not None:
            raise UnsupportedError(_LAYOUT)
        with self.asked():
            _, gx, gy = self._pulled_back(*(self.tensor(t, dtype) for t in (x, y, g)))
            return _numbers(gx), _numbers(gy)

    def jvp(self, x: Array, y: Array, u: Array, v: Array, dtype: str) -> Array:
        """Use `tf.autodiff.ForwardAccumulator`."""
        with self.asked():
            a, b, du, dv = (self.tensor(t, dtype) for t in (x, y, u, v))
            with tf.autodiff.ForwardAccumulator([a, b], [du, dv]) as accumulator:
                s = self._rows(a, b)
            tangent = accumulator.jvp(s)
            return np.zeros(len(x)) if tangent is None else _numbers(tangent)

    def hvp(
        self, x: Array, y: Array, u: Array, v: Array, g: Array, dtype: str
    ) -> tuple[Array, Array, Array | None]:
        """Use nested tapes."""
        with self.asked():
            a, b, c, du, dv = (self.tensor(t, dtype) for t in (x, y, g, u, v))
            with tf.GradientTape() as tape:
                tape.watch([a, b, c])
                _, gx, gy = self._pulled_back(a, b, c)
                z = tf.reduce_sum(gx * du) + tf.reduce_sum(gy * dv)
            grads = tape.gradient(z, [a, b, c])
            if all(grad is None for grad in grads):
                raise UnsupportedError("its gradient cannot be differentiated again")
            hx, hy, hg = map(_numbers, _or_zeros(grads, (a, b, c)))
            return hx, hy, hg

    def vmap(self, x: Array, y: Array, dtype: str) -> Array:
        """Apply `tf.vectorized_map` over batches of rows, or over vectors."""
        with self.asked():
            a, b = self.tensor(x, dtype), self.tensor(y, dtype)
            if self.signature == "rows" and len(x) % 3 == 0:
                shape = (3, len(x) // 3, x.shape[1])
                pair = tf.reshape(a, shape), tf.reshape(b, shape)
                return _numbers(tf.vectorized_map(lambda p: self._call(*p), pair)).reshape(-1)
            return _numbers(tf.vectorized_map(lambda p: self._one(*p), (a, b)))

    def vmap_gradient(self, x: Array, y: Array, dtype: str) -> tuple[Array, Array]:
        """Apply `tf.vectorized_map` to a function with a tape."""
        with self.asked():
            pair = self.tensor(x, dtype), self.tensor(y, dtype)
            one = tf.ones((), pair[0].dtype)
            gx, gy = tf.vectorized_map(lambda p: self._pulled_back(p[0], p[1], one, self._one)[1:], pair)
            return _numbers(gx), _numbers(gy)

    def compiled(
        self, x: Array, y: Array, g: Array, dtype: str, whole: bool = False
    ) -> tuple[Array, Array, Array]:
        """Apply `tf.function` to the value, and to value and gradients. `whole` sets `jit_compile=True`."""
        with self.asked():
            a, b, c = (self.tensor(t, dtype) for t in (x, y, g))
            s = tf.function(self._rows, jit_compile=whole)(a, b)
            _, gx, gy = tf.function(self._pulled_back, jit_compile=whole)(a, b, c)
            return _numbers(s), _numbers(gx), _numbers(gy)


class TensorflowFrontend(TensorflowFunction):
    """`cosgrad.tensorflow` on the CPU, because the kernel runs there."""

    device = "CPU:0"

    def __init__(self, quantity: Quantity = "similarity", beat: Callable[[], None] = lambda: None) -> None:
        import cosgrad.tensorflow as frontend

        self.frontend = frontend
        function = frontend.cosine_similarity if quantity == "similarity" else frontend.cosine_distance
        super().__init__(function, quantity, "rows", beat)

    def compiled(
        self,
        x: Array,
        y: Array,
        g: Array,
        dtype: str,
        whole: bool = False,  # noqa: ARG002
    ) -> tuple[Array, Array, Array]:
        """Apply `tf.function`, which runs the kernel. `without_kernel` uses XLA."""
        return super().compiled(x, y, g, dtype)

    def without_kernel(self, x: Array, y: Array, g: Array, dtype: str) -> tuple[Array, Array, Array]:
        """Set `jit_compile=True`, because XLA inside TensorFlow cannot call the kernel."""
        with self.asked():
            arrays = (self.tensor(t, dtype) for t in (x, y, g))
            S, gx, gy = tf.function(self._pulled_back, jit_compile=True)(*arrays)
            return _numbers(S), _numbers(gx), _numbers(gy)

    def every_pair(
        self, x: Array, y: Array, g: Array, dtype: str
    ) -> tuple[Array, Array | None, Array | None]:
        """Broadcast the arguments. The tape sums the gradients over repeated rows."""
        with self.asked():
            a, b, c = (self.tensor(t, dtype) for t in (x, y, g))
            s, gx, gy = self._pulled_back(a, b, c, lambda a, b: self.function(a[:, None], b))
            return _numbers(s), _numbers(gx), _numbers(gy)

    def normalize(self, x: Array, g: Array, dtype: str) -> tuple[Array, Array | None]:
        """Call `normalize` and its VJP."""
        with self.asked():
            a, c = self.tensor(x, dtype), self.tensor(g, dtype)
            with tf.GradientTape() as tape:
                tape.watch(a)
                unit = self.frontend.normalize(a)
            return _numbers(unit), _numbers(tape.gradient(unit, a, output_gradients=c))

    def distance_loss(self, x: Array, y: Array, dtype: str, weights: Array | None, reduction: str) -> float:
        """Call `cosine_distance_loss`."""
        with self.asked():
            w = None if weights is None else self.tensor(weights, dtype)
            loss = self.frontend.cosine_distance_loss
            a, b = self.tensor(x, dtype), self.tensor(y, dtype)
            return float(_numbers(loss(a, b, weights=w, reduction=reduction)))

    def embedding_loss(self, x: Array, y: Array, target: Array, margin: float, dtype: str) -> Array:
        """Call `cosine_embedding_loss`."""
        with self.asked():
            a, b, t = self.tensor(x, dtype), self.tensor(y, dtype), tf.constant(target.astype(np.int32))
            return _numbers(self.frontend.cosine_embedding_loss(a, b, t, margin=margin, reduction="none"))

    @contextmanager
    def threads(self, count: int) -> Iterator[None]:
        """Set the number of threads that the package starts itself, inside the context."""
        with own_threads(count):
            yield
