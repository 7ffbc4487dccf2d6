"""The unit vector as a primitive. Its Jacobian is symmetric, so the JVP and the VJP are the same product."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.interpreters import ad

from cosgrad import formulas
from cosgrad.jax import _native
from cosgrad.jax._ops import OPS
from cosgrad.jax._primitive import broadcast, define, known, like, summed_to
from cosgrad.spec import Shape


def normalize(x: Array, axis: int, eps: float) -> Array:
    """Return x / max(|x|, eps)."""
    unit: Array
    (unit,) = unit_p.bind(x, axis=axis, eps=eps)
    return unit


def gradient(x: Array, g: Array, axis: int, eps: float) -> Array:
    """Return the product of g with the Jacobian of `normalize`."""
    out: Array
    (out,) = unit_gradient_p.bind(x, g, axis=axis, eps=eps)
    return out


def _shapes(*arrays: Any, axis: int, eps: float) -> list[Shape]:
    return [jnp.broadcast_shapes(*(a.shape for a in arrays))]


def _by_kernel(*arrays: Array, axis: int, eps: float) -> list[Array]:
    shapes = _shapes(*arrays, axis=axis, eps=eps)
    return _native.call("cosgrad_normalize", shapes[0], axis, eps, arrays, shapes)


def _closed(x: Array, *, axis: int, eps: float) -> list[Array]:
    return [formulas.normalize(OPS, x, axis, eps)]


def _gradient_closed(x: Array, g: Array, *, axis: int, eps: float) -> list[Array]:
    return [formulas.normalize_gradient(OPS, x, g, axis, eps)]


def _mapped(size: int, *, axis: int, eps: float) -> dict[str, Any]:
    return {"axis": axis + 1, "eps": eps}


unit_p = define("unit", _shapes, _by_kernel, _closed, _mapped)
unit_gradient_p = define("unit_gradient", _shapes, _by_kernel, _gradient_closed, _mapped)


def _jvp(primals: Any, tangents: Any, *, axis: int, eps: float) -> Any:
    (x,), (dx,) = primals, tangents
    return [normalize(x, axis, eps)], [gradient(x, dx, axis, eps) if known(dx) else ad.Zero(like(x, x.shape))]


# Outside a surrounding `jit`, this compiles the whole function once.
_hessian = jax.jit(partial(formulas.normalize_hessian, OPS), static_argnums=(3, 4), inline=True)


def _gradient_jvp(primals: Any, tangents: Any, *, axis: int, eps: float) -> Any:
    (x, g), (dx, dg) = primals, tangents
    out = gradient(x, g, axis, eps)
    terms = []
    if known(dg):
        terms.append(gradient(x, dg, axis, eps))
    if known(dx):
        terms.append(_hessian(broadcast(x, out.shape), g, dx, axis, eps))
    return [out], [sum(terms[1:], terms[0]) if terms else ad.Zero(like(out, out.shape))]


def _gradient_transpose(cotangents: Any, x: Any, g: Any, *, axis: int, eps: float) -> list[Any]:
    (c,) = cotangents
    return [None, summed_to(gradient(x, c, axis, eps), g.aval.shape) if known(c) else None]


ad.primitive_jvps[unit_p] = _jvp
ad.primitive_jvps[unit_gradient_p] = _gradient_jvp
ad.primitive_transposes[unit_gradient_p] = _gradient_transpose
