"""Common code of the primitives: definition, execution, lowering and batching."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax._src.dispatch import apply_primitive, prim_requires_devices_during_lowering
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from cosgrad.spec import Shape


def define(
    name: str,
    shapes: Callable[..., list[Shape]],
    native: Callable[..., list[Array]],
    closed: Callable[..., list[Array]],
    mapped: Callable[..., dict[str, Any]],
) -> Primitive:
    """Define a primitive.

    Args:
        name: Its name, without the name of the package.
        shapes: Function of the operands and parameters that returns the shapes of the results.
        native: Implementation for the CPU.
        closed: Implementation for all other platforms.
        mapped: Function of an axis length and the parameters that returns the parameters for arrays with one
            more axis of this length in front.
    """
    primitive = Primitive(f"cosgrad_{name}")
    primitive.multiple_results = True

    def abstract(*avals: Any, **params: Any) -> list[ShapedArray]:
        # On explicit meshes and in `shard_map`, tracing the closed form gives the sharding of the results and
        # the mesh axes over which they vary.
        if any(not a.sharding.mesh.empty for a in avals):
            return list(jax.make_jaxpr(partial(closed, **params))(*avals).out_avals)
        return [ShapedArray(shape, avals[0].dtype) for shape in shapes(*avals, **params)]

    def batch(args: Any, dims: Any, **params: Any) -> Any:
        size = next(a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None)
        fronted = (
            jnp.expand_dims(a, 0) if d is None else jnp.moveaxis(a, d, 0)
            for a, d in zip(args, dims, strict=True)
        )
        out = primitive.bind(*fronted, **mapped(size, **params))
        return out, [0] * len(out)

    primitive.def_abstract_eval(abstract)
    primitive.def_impl(partial(apply_primitive, primitive))
    mlir.register_lowering(primitive, mlir.lower_fun(closed, multiple_results=True))
    mlir.register_lowering(primitive, mlir.lower_fun(native, multiple_results=True), platform="cpu")
    batching.primitive_batchers[primitive] = batch
    # The partitioning of the native call needs the devices. JAX cannot see this, since the call is only
    # created during lowering.
    prim_requires_devices_during_lowering.add(primitive)
    return primitive


def known(t: Any) -> bool:
    """Return whether a tangent or cotangent is neither None nor a symbolic zero."""
    return t is not None and not isinstance(t, ad.Zero)


def like(x: Any, shape: Shape) -> ShapedArray:
    """Return an abstract array with the given shape and the dtype of x."""
    return ShapedArray(shape, x.dtype)


def broadcast(x: Array, shape: Shape | None) -> Array:
    """Return x broadcast to the shape, or unchanged if the shape is None."""
    return x if shape is None or x.shape == shape else jnp.broadcast_to(x, shape)


def summed_to(t: Any, shape: Shape) -> Any:
    """Sum t over the axes that have length 1 in the shape and are longer in t."""
    if not known(t):
        return t
    axes = tuple(i for i, (m, n) in enumerate(zip(t.shape, shape, strict=True)) if m != n)
    return jnp.sum(t, axes, keepdims=True) if axes else t
