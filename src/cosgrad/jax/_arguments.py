"""JAX's conventions for arguments: promotion of dtypes, and shapes as the primitives need them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cosgrad.spec import Frontend, Shape

FRONTEND = Frontend("axis", "array")
_FLOATS = "float16, bfloat16, float32 or float64"
_DTYPES = frozenset(map(jnp.dtype, (jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64)))


def as_array(name: str, x: Any) -> Any:
    """Return x if it is a real array or number, or raise an error. A number stays weakly typed."""
    if callable(convert := getattr(x, "__jax_array__", None)):
        x = convert()
    if not isinstance(x, jax.Array | np.ndarray | np.generic | int | float | complex):
        raise TypeError(f"{name} is {type(x).__name__}, must be an array")
    dtype = x.dtype if hasattr(x, "dtype") else jax.dtypes.result_type(x)
    if dtype not in _DTYPES and not (jnp.issubdtype(dtype, jnp.integer) or dtype == jnp.bool_):
        raise FRONTEND.refuse_dtype(name, dtype, f"real, that is {_FLOATS}, or integers, taken as floats")
    return x


def as_floats(*arrays: Any) -> tuple[jax.Array, ...]:
    """Return all arrays in the dtype of the computation, which may be wider than the promoted dtype.

    JAX's promoted dtype may be unable to represent integers. So with a float array, integers of 16 bits count
    as float32, and wider ones as float64 if x64 is enabled. Python numbers and weakly typed arrays count as
    their own dtype. Without any floats, all count as JAX's default float. `promoted` returns the dtype of the
    results.
    """
    kinds = [a.dtype if hasattr(a, "dtype") else jax.dtypes.result_type(a) for a in arrays]
    holding = [dtype for kind in kinds if (dtype := _holding(kind)) is not None]
    if not any(kind in _DTYPES for kind in kinds):
        holding = [jax.dtypes.canonicalize_dtype(jnp.float64)]
    dtype = jnp.result_type(*holding)
    return tuple(jnp.asarray(a, dtype) for a in arrays)


def promoted(*arrays: Any) -> Any:
    """Return the promoted dtype, or JAX's default float if all are integers and booleans."""
    dtype = jnp.result_type(*arrays)
    return dtype if dtype in _DTYPES else jax.dtypes.canonicalize_dtype(jnp.float64)


def _holding(dtype: Any) -> Any:
    """Return the float dtype that can represent numbers of a dtype, or None if every float dtype can."""
    if dtype in _DTYPES:
        return jax.dtypes.canonicalize_dtype(dtype)  # a float64 array of NumPy, if x64 is off
    bits = 8 if dtype == jnp.bool_ else jnp.iinfo(dtype).bits
    return None if bits <= 8 else jnp.float32 if bits <= 16 else jax.dtypes.canonicalize_dtype(jnp.float64)


def as_pair(
    x_name: str, x: Any, y_name: str, y: Any, axis: int
) -> tuple[jax.Array, jax.Array, int, Shape, Any]:
    """Return both arrays in one dtype and rank, the axis, the batch shape, and the dtype of the results.

    A scalar counts as a vector of length 1.
    """
    x, y = as_array(x_name, x), as_array(y_name, y)
    dtype = promoted(x, y)
    a, b = as_floats(x, y)
    shape = FRONTEND.check_broadcast(x_name, a.shape, y_name, b.shape)
    axis = FRONTEND.check_axis(axis, len(shape))
    shape = shape or (1,)
    a, b = varying_alike((_of_rank(a, len(shape)), _of_rank(b, len(shape))))
    return a, b, axis, shape[:axis] + shape[axis + 1 :], dtype


def _of_rank(a: jax.Array, rank: int) -> jax.Array:
    return a if a.ndim == rank else a.reshape((1,) * (rank - a.ndim) + a.shape)


def varying_alike(arrays: Any) -> Any:
    """Under `shard_map`, mark all arrays as varying over the mesh axes over which one of them varies."""
    names = frozenset[Any]().union(*map(_varying, jax.tree.leaves(arrays)))
    return jax.tree.map(lambda a: _vary(a, names - _varying(a)), arrays)


def _varying(x: jax.Array) -> frozenset[Any]:
    kind: Any = jax.typeof(x)
    names: frozenset[Any] = kind.vma if hasattr(kind, "vma") else kind.manual_axis_type.varying
    return names


def _vary(x: jax.Array, names: frozenset[Any]) -> jax.Array:
    if not names:
        return x
    lax: Any = jax.lax
    varied: jax.Array = (
        lax.pcast(x, tuple(names), to="varying") if hasattr(lax, "pcast") else lax.pvary(x, tuple(names))
    )
    return varied
