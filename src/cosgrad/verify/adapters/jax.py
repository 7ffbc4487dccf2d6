"""Adapters of JAX: derivatives and batching by JAX's own transforms, under `jax.jit` as users run them.

The plain call is not jitted, so the function is also tested uncompiled. A derivative is not jitted if the
function's own control flow depends on values.

JAX has no float64 unless x64 is enabled, so float64 is tested with x64 on. The other dtypes are tested in the
state of the process, as users call the function. x64 is off there, unless the environment variable
`JAX_ENABLE_X64` or the target's module has switched it on.

NumPy converts the numbers, because XLA's own conversions would flush subnormal numbers to zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

from cosgrad.verify.adapters.base import (
    Function,
    NoGradientError,
    Output,
    Quantity,
    RaisedError,
    UnsupportedError,
    WrongResultError,
)
from cosgrad.verify.ulp import Array

_DTYPES = {
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
_LAYOUT = "JAX arrays lie in memory as XLA likes"


def _numbers(a: Any) -> Array:
    return np.asarray(a).astype(np.float64)


class JaxFunction(Function):
    """A user's function of two JAX arrays, on JAX's default device."""

    framework = "jax"
    device: Any = None

    def dtypes(self) -> tuple[str, ...]:
        """Return the four dtypes."""
        return tuple(_DTYPES)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # made once, because JAX caches compiled programs by their function
        self._value = jax.jit(self._given)
        self._vjp = jax.jit(self._pulled_back)
        self._jvp = jax.jit(self._pushed_forward)
        self._hvp = jax.jit(self._second)
        self._vmap = jax.jit(self._mapped)
        self._vmap_gradient = jax.jit(self._mapped_gradient)

    @contextmanager
    def asked(self, dtype: str) -> Iterator[None]:
        """Enable x64 for float64, and convert exceptions. Use it around every computation.

        The results must be read inside the context, because JAX may raise an error only then.
        """
        with jax.enable_x64(True) if dtype == "float64" else nullcontext(), self.guarded():
            yield

    def array(self, a: Array, dtype: str, layout: str | None = None) -> Any:
        """Return an array of this dtype."""
        if layout is not None:
            raise UnsupportedError(_LAYOUT)
        return jax.device_put(a.astype(_DTYPES[dtype]), self.device)

    def _call(self, x: Any, y: Any) -> Any:
        with self.guarded():
            s = self.function(x, y)
        if not isinstance(s, jax.Array):
            raise WrongResultError(f"returned {type(s).__name__}, expected a JAX array")
        self.check_shape(s.shape, x.shape)
        return s

    def _given(self, x: Any, y: Any) -> Any:
        """Return the result for one argument of the signature: all rows, or one vector."""
        return self._call(x, y) if self.signature == "rows" else self._one(x, y)

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
        """Call the function on rows, operation by operation unless the function itself is jitted."""
        with self.asked(dtype):
            arguments = [self.array(t, dtype, layout) for t in (x, y)]
            before = [_numbers(t) for t in arguments]
            if self.signature == "rows":
                s = self._call(*arguments)
            else:
                s = jnp.stack([self._one(a, b) for a, b in zip(*arguments, strict=True)])
            pairs = zip(map(_numbers, arguments), before, strict=True)
            mutated = not all(np.array_equal(after, t, True) for after, t in pairs)
            return Output(_numbers(s), s.dtype.name, mutated)

    def _pulled_back(self, x: Any, y: Any, g: Any) -> tuple[Any, Any, Any]:
        """Return the result and both gradients."""
        s, pull = jax.vjp(self._given, x, y)
        if not jnp.issubdtype(s.dtype, jnp.floating):
            raise NoGradientError(f"a result of dtype {s.dtype} has no gradient")
        return s, *pull(g.astype(s.dtype))

    def _pushed_forward(self, x: Any, y: Any, u: Any, v: Any) -> Any:
        return jax.jvp(self._given, (x, y), (u, v))[1]

    def _second(self, x: Any, y: Any, g: Any, u: Any, v: Any) -> tuple[Any, Any, Any]:
        def along(x: Any, y: Any, g: Any) -> Any:
            _, gx, gy = self._pulled_back(x, y, g)
            return (gx * u).sum() + (gy * v).sum()

        grads: tuple[Any, Any, Any] = jax.grad(along, argnums=(0, 1, 2))(x, y, g)
        return grads

    def _mapped(self, x: Any, y: Any) -> Any:
        if self.signature == "rows" and len(x) % 3 == 0:
            shape = (3, len(x) // 3, x.shape[1])
            return jax.vmap(self._call)(x.reshape(shape), y.reshape(shape)).reshape(-1)
        return jax.vmap(self._one)(x, y)

    def _mapped_gradient(self, x: Any, y: Any) -> Any:
        return jax.vmap(jax.grad(self._one, argnums=(0, 1)))(x, y)

    def _run(self, dtype: str, jitted: Any, *arguments: Array, whole: bool = False) -> list[Array]:
        """Call with all rows at once if `whole` or if the signature takes rows. Otherwise call row by row."""
        calls = [arguments] if whole or self.signature == "rows" else zip(*arguments, strict=True)
        with self.asked(dtype):
            results = [self._leaves(jitted, [self.array(a, dtype) for a in call]) for call in calls]
        return results[0] if len(results) == 1 else [np.stack(t) for t in zip(*results, strict=True)]

    def _leaves(self, jitted: Any, arrays: list[Any]) -> list[Array]:
        try:
            out = jitted(*arrays)
        except RaisedError as error:
            if not isinstance(error.__cause__, jax.errors.ConcretizationTypeError):
                raise
            out = jitted.__wrapped__(*arrays)
        return [_numbers(t) for t in jax.tree.leaves(out)]

    def vjp(self, x: Array, y: Array, g: Array, dtype: str, layout: str | None = None) -> tuple[Array, Array]:
        """Apply `jax.vjp`."""
        if layout is not None:
            raise UnsupportedError(_LAYOUT)
        _, gx, gy = self._run(dtype, self._vjp, x, y, g)
        return gx, gy

    def jvp(self, x: Array, y: Array, u: Array, v: Array, dtype: str) -> Array:
        """Apply `jax.jvp`, which is forward mode."""
        return self._run(dtype, self._jvp, x, y, u, v)[0]

    def hvp(
        self, x: Array, y: Array, u: Array, v: Array, g: Array, dtype: str
    ) -> tuple[Array, Array, Array | None]:
        """Apply reverse mode twice."""
        hx, hy, hg = self._run(dtype, self._hvp, x, y, g, u, v)
        return hx, hy, hg

    def vmap(self, x: Array, y: Array, dtype: str) -> Array:
        """Apply `jax.vmap` over batches of rows, or over vectors."""
        return self._run(dtype, self._vmap, x, y, whole=True)[0]

    def vmap_gradient(self, x: Array, y: Array, dtype: str) -> tuple[Array, Array]:
        """Apply `jax.vmap` to `jax.grad`."""
        gx, gy = self._run(dtype, self._vmap_gradient, x, y, whole=True)
        return gx, gy

    def compiled(
        self,
        x: Array,
        y: Array,
        g: Array,
        dtype: str,
        whole: bool = False,  # noqa: ARG002
    ) -> tuple[Array, Array, Array]:
        """Apply `jax.jit` to the value, and to value and gradients. XLA always compiles completely."""
        if self.signature != "rows":
            raise UnsupportedError("asked of functions of rows")
        with self.asked(dtype):
            a, b, c = (self.array(t, dtype) for t in (x, y, g))
            _, gx, gy = self._vjp(a, b, c)
            return _numbers(self._value(a, b)), _numbers(gx), _numbers(gy)


class JaxFrontend(JaxFunction):
    """`cosgrad.jax` on the CPU, because the kernel runs there."""

    def __init__(self, quantity: Quantity = "similarity", beat: Callable[[], None] = lambda: None) -> None:
        import cosgrad.jax as frontend

        self.frontend = frontend
        self.device = jax.devices("cpu")[0]
        function = frontend.cosine_similarity if quantity == "similarity" else frontend.cosine_distance
        super().__init__(function, quantity, "rows", beat)

    def every_pair(
        self, x: Array, y: Array, g: Array, dtype: str
    ) -> tuple[Array, Array | None, Array | None]:
        """Broadcast the arguments. JAX sums the gradients over repeated rows."""
        with self.asked(dtype):
            a, b, c = (self.array(t, dtype) for t in (x, y, g))
            s, pull = jax.vjp(lambda a, b: self.function(a[:, None], b), a, b)
            gx, gy = pull(c)
            return _numbers(s), _numbers(gx), _numbers(gy)

    def normalize(self, x: Array, g: Array, dtype: str) -> tuple[Array, Array | None]:
        """Call `normalize` and its VJP."""
        with self.asked(dtype):
            unit, pull = jax.vjp(self.frontend.normalize, self.array(x, dtype))
            return _numbers(unit), _numbers(pull(self.array(g, dtype))[0])

    def distance_loss(self, x: Array, y: Array, dtype: str, weights: Array | None, reduction: str) -> float:
        """Call `cosine_distance_loss`."""
        with self.asked(dtype):
            w = None if weights is None else self.array(weights, dtype)
            a, b = self.array(x, dtype), self.array(y, dtype)
            return float(self.frontend.cosine_distance_loss(a, b, weights=w, reduction=reduction))

    def embedding_loss(self, x: Array, y: Array, target: Array, margin: float, dtype: str) -> Array:
        """Call `cosine_embedding_loss`."""
        with self.asked(dtype):
            a, b = self.array(x, dtype), self.array(y, dtype)
            t = jax.device_put(target.astype(np.int32), self.device)
            return _numbers(self.frontend.cosine_embedding_loss(a, b, t, margin=margin, reduction="none"))
