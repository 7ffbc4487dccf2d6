"""The array operations of the closed forms and the reductions, for JAX."""

import jax
import jax.numpy as jnp
from jax import Array

from cosgrad.spec import Shape


def wide(dtype: jnp.dtype) -> jnp.dtype:
    """Return the dtype of the computation: float32 for half types, otherwise float64 if x64 is enabled."""
    wider = jnp.float32 if jnp.finfo(dtype).bits == 16 else jnp.float64
    served: jnp.dtype = jax.dtypes.canonicalize_dtype(wider)
    return served


class JaxOps:
    """`cosgrad.spec.Ops` for JAX arrays. Every method supports `vmap`, `jit` and differentiation."""

    def widen(self, x: Array) -> Array:
        """Return x in the dtype of the computation."""
        return x.astype(wide(x.dtype))

    def cast(self, x: Array, like: Array) -> Array:
        """Return x in the dtype of `like`."""
        return x.astype(like.dtype)

    def detach(self, x: Array) -> Array:
        """Return x as a constant."""
        return jax.lax.stop_gradient(x)

    def zeros(self, like: Array) -> Array:
        """Return zeros of the shape of `like`."""
        return jnp.zeros_like(like)

    def where(self, condition: Array, x: Array | float, y: Array | float) -> Array:
        """Select elements by a condition."""
        return jnp.where(condition, x, y)

    def sqrt(self, x: Array) -> Array:
        """Return the square root."""
        return jnp.sqrt(x)

    def isfinite(self, x: Array) -> Array:
        """Return whether each element is finite."""
        return jnp.isfinite(x)

    def sum(self, x: Array, axis: int | Shape) -> Array:
        """Sum over one or several axes and keep them with length 1."""
        return jnp.sum(x, axis, keepdims=True)

    def largest(self, x: Array, axis: int) -> Array:
        """Return max |x_i|, or 0 for an empty axis."""
        return jnp.max(jnp.abs(jax.lax.stop_gradient(x)), axis, keepdims=True, initial=0)

    def inverse_powers(self, m: Array) -> tuple[Array, Array]:
        """Return two powers of two whose product times m is from 2 to 4, or NaN if m is not finite."""
        info = jnp.finfo(m.dtype)
        integers, digits, bias = f"int{info.bits}", info.nmant, info.maxexp - 1
        field = jax.lax.bitcast_convert_type(m, jnp.dtype(integers)) >> digits  # exponent of m plus bias
        power = jnp.minimum(2 * bias + 1 - field, 2 * bias)  # exponent of the product plus bias
        half = (power + bias + 1) >> 1
        finite = jnp.isfinite(m)
        first, last = (
            jnp.where(finite, jax.lax.bitcast_convert_type(t << digits, m.dtype), jnp.nan)
            for t in (half, power + bias - half)
        )
        return first, last

    def limits(self, x: Array) -> tuple[float, float]:
        """Return the machine epsilon and the largest number."""
        info = jnp.finfo(x.dtype)
        return float(info.eps), float(info.max)

    def total(self, x: Array) -> Array:
        """Return the sum of all elements in the dtype of the computation."""
        return jnp.sum(self.widen(x))


OPS = JaxOps()
