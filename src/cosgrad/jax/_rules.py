"""JAX primitives for S and D, and the rules by which JAX transforms them.

    cosine    x, y -> S and/or D         jvp: tangent
    tangent   x, y, u, v -> J            linear in u and v, where its transpose is gradient; jvp: closed forms
    gradient  x, y, g -> g dS            linear in g, where its transpose is tangent; jvp: closed forms

All vectors have one rank and broadcast, also along the axis. S, D, J and g do not have the axis. A batching
rule puts the mapped axis in front, with length 1 for an array that is not mapped, so that one call computes
the whole batch. So x may have length 1 along an axis where its direction or its gradient is longer, and vice
versa.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.interpreters import ad

from cosgrad import closed, formulas
from cosgrad.closed import BOTH, DISTANCE, SIMILARITY, Rule
from cosgrad.jax import _native
from cosgrad.jax._ops import OPS
from cosgrad.jax._primitive import broadcast, define, known, like, summed_to
from cosgrad.spec import Shape


def cosine(x: Array, y: Array, rule: Rule) -> list[Array]:
    """Return S, D or both."""
    out: list[Array] = cosine_p.bind(x, y, rule=rule)
    return out


def tangent(x: Array, y: Array, u: Any, v: Any, rule: Rule) -> Any:
    """Return the derivative of S or D along (u, v). Each direction may be None or a symbolic zero."""
    directions = [t for t in (u, v) if known(t)]
    if not directions:
        return ad.Zero(like(x, _batch(_frame(x.shape, y.shape), rule.axis)))
    (J,) = tangent_p.bind(x, y, *directions, rule=rule, has_u=known(u), has_v=known(v))
    return J


def gradient(
    x: Array, y: Array, g: Array, rule: Rule, x_shape: Shape | None, y_shape: Shape | None
) -> list[Array | None]:
    """Return g times the derivatives in x and y, in the given shapes, or None if the shape is None."""
    out = iter(gradient_p.bind(x, y, g, rule=rule, x_shape=x_shape, y_shape=y_shape))
    return [None if shape is None else next(out) for shape in (x_shape, y_shape)]


# Shapes -----------------------------------------------------------------------------------------------------


def _frame(*shapes: Shape | None) -> Shape:
    return jnp.broadcast_shapes(*(s for s in shapes if s is not None))


def _batch(frame: Shape, axis: int) -> Shape:
    return frame[:axis] + frame[axis + 1 :]


def _alike(x: Array, y: Array, axis: int) -> tuple[Array, Array]:
    """Return both with the same length along the axis, as the closed forms require."""
    n = _frame(x.shape, y.shape)[axis]
    a, b = (broadcast(t, (*t.shape[:axis], n, *t.shape[axis + 1 :])) for t in (x, y))
    return a, b


def _directions(rest: tuple[Any, ...], has_u: bool, has_v: bool) -> tuple[Any, Any]:
    it = iter(rest)
    return next(it) if has_u else None, next(it) if has_v else None


def _tangent_frame(x: Any, y: Any, *rest: Any) -> Shape:
    return _frame(x.shape, y.shape, *(t.shape for t in rest))


# Implementations: native and closed form --------------------------------------------------------------------


def _cosine_shapes(x: Any, y: Any, *, rule: Rule) -> list[Shape]:
    return [_batch(_frame(x.shape, y.shape), rule.axis)] * (2 if rule.what == BOTH else 1)


def _cosine_native(x: Array, y: Array, *, rule: Rule) -> list[Array]:
    frame = _frame(x.shape, y.shape)
    flags = {"similarity": rule.what != DISTANCE, "distance": rule.what != SIMILARITY}
    shapes = _cosine_shapes(x, y, rule=rule)
    return _native.call("cosgrad_forward", frame, rule.axis, rule.eps, (x, y), shapes, **flags)


def _cosine_closed(x: Array, y: Array, *, rule: Rule) -> list[Array]:
    out = closed.cosine(OPS, *_alike(x, y, rule.axis), rule)
    return [jnp.squeeze(t, rule.axis) for t in (out if rule.what == BOTH else (out,))]


def _tangent_shapes(x: Any, y: Any, *rest: Any, rule: Rule, has_u: bool, has_v: bool) -> list[Shape]:
    return [_batch(_tangent_frame(x, y, *rest), rule.axis)]


def _tangent_native(x: Array, y: Array, *rest: Array, rule: Rule, has_u: bool, has_v: bool) -> list[Array]:
    frame = _tangent_frame(x, y, *rest)
    flags = {"has_dx": has_u, "has_dy": has_v, "negate": rule.negate}
    shapes = [_batch(frame, rule.axis)]
    return _native.call("cosgrad_jvp", frame, rule.axis, rule.eps, (x, y, *rest), shapes, **flags)


def _tangent_closed(x: Array, y: Array, *rest: Array, rule: Rule, has_u: bool, has_v: bool) -> list[Array]:
    u, v = _directions(rest, has_u, has_v)
    return [jnp.squeeze(closed.tangent(OPS, *_alike(x, y, rule.axis), u, v, rule), rule.axis)]


def _gradient_shapes(
    x: Any, y: Any, g: Any, *, rule: Rule, x_shape: Shape | None, y_shape: Shape | None
) -> list[Shape]:
    return [shape for shape in (x_shape, y_shape) if shape is not None]


def _gradient_native(
    x: Array, y: Array, g: Array, *, rule: Rule, x_shape: Shape | None, y_shape: Shape | None
) -> list[Array]:
    frame = _frame(x.shape, y.shape, x_shape, y_shape)
    shapes = [shape for shape in (x_shape, y_shape) if shape is not None]
    return _native.call(
        "cosgrad_backward",
        frame,
        rule.axis,
        rule.eps,
        (x, y, g),
        shapes,
        need_x=x_shape is not None,
        need_y=y_shape is not None,
        negate=rule.negate,
        skip_zero=rule.skip_zero,
    )


def _gradient_closed(
    x: Array, y: Array, g: Array, *, rule: Rule, x_shape: Shape | None, y_shape: Shape | None
) -> list[Array]:
    x, y = _alike(broadcast(x, x_shape), broadcast(y, y_shape), rule.axis)
    pair = closed.gradient(OPS, x, y, jnp.expand_dims(g, rule.axis), rule)
    shapes = (x_shape, y_shape)
    return [summed_to(t, shape) for t, shape in zip(pair, shapes, strict=True) if shape is not None]


def _mapped(size: int, *, rule: Rule, **params: Any) -> dict[str, Any]:
    shapes: dict[str, Any] = {
        name: None if params[name] is None else (size, *params[name])
        for name in ("x_shape", "y_shape")
        if name in params
    }
    return {**params, **shapes, "rule": rule.batched()}


cosine_p = define("cosine", _cosine_shapes, _cosine_native, _cosine_closed, _mapped)
tangent_p = define("tangent", _tangent_shapes, _tangent_native, _tangent_closed, _mapped)
gradient_p = define("gradient", _gradient_shapes, _gradient_native, _gradient_closed, _mapped)


# Differentiation --------------------------------------------------------------------------------------------


# Outside a surrounding `jit`, this compiles the whole function once.
_curvature = jax.jit(partial(closed.curvature, OPS), static_argnums=5, inline=True)


def _cosine_jvp(primals: Any, tangents: Any, *, rule: Rule) -> Any:
    (x, y), (dx, dy) = primals, tangents
    if rule.what != BOTH:
        return cosine(x, y, rule), [tangent(x, y, dx, dy, rule)]
    J = tangent(x, y, dx, dy, Rule(rule.axis, rule.eps, SIMILARITY, rule.skip_zero))
    return cosine(x, y, rule), [J, -J if known(J) else J]


def _tangent_jvp(primals: Any, tangents: Any, *, rule: Rule, has_u: bool, has_v: bool) -> Any:
    x, y, *rest = primals
    dx, dy, *drest = tangents
    u, v = _directions(tuple(rest), has_u, has_v)
    du, dv = _directions(tuple(drest), has_u, has_v)
    J = tangent(x, y, u, v, rule)
    terms = [tangent(x, y, du, dv, rule)]
    if known(dx) or known(dy):
        dx, dy = (t if known(t) else None for t in (dx, dy))
        terms.append(_bilinear(x, y, u, v, dx, dy, rule))
    dJ = [t for t in terms if known(t)]
    return [J], [sum(dJ[1:], dJ[0]) if dJ else ad.Zero(like(J, J.shape))]


@partial(jax.jit, static_argnums=6, inline=True)
def _bilinear(x: Array, y: Array, u: Any, v: Any, dx: Any, dy: Any, rule: Rule) -> Array:
    """Return the second derivative along (u, v) and (dx, dy)."""
    frame = _tangent_frame(x, y, *(t for t in (u, v, dx, dy) if t is not None))
    narrow, x, y = x, OPS.widen(broadcast(x, frame)), OPS.widen(broadcast(y, frame))
    finite = None
    if rule.skip_zero:  # a row that is not finite may be excluded, so its NaN must be a constant
        fx, fy = formulas.finite(OPS, x, rule.axis), formulas.finite(OPS, y, rule.axis)
        x, y, finite = jnp.where(fx, x, 0), jnp.where(fy, y, 0), fx & fy
    ones = jnp.ones_like(jnp.sum(x, rule.axis, keepdims=True))
    plain = Rule(rule.axis, rule.eps, rule.what)
    second = jnp.zeros_like(ones)
    for h, t in zip(closed.curvature(OPS, x, y, u, v, ones, plain), (dx, dy), strict=True):
        if t is not None:
            second += jnp.sum(h * OPS.widen(t), rule.axis, keepdims=True)
    second = second if finite is None else jnp.where(finite, second, jnp.nan)
    return OPS.cast(jnp.squeeze(second, rule.axis), narrow)


def _tangent_transpose(
    cotangents: Any, x: Any, y: Any, *rest: Any, rule: Rule, has_u: bool, has_v: bool
) -> list[Any]:
    (g,) = cotangents
    none = [None] * (2 + len(rest))
    if not known(g):
        return none
    u, v = _directions(rest, has_u, has_v)
    # The gradient has the broadcast shape of x and its direction. It is then summed to that of the direction.
    shapes = [
        _frame(a.shape, t.aval.shape) if ad.is_undefined_primal(t) else None for a, t in ((x, u), (y, v))
    ]
    grads = gradient(x, y, g, rule, *shapes)
    return [
        None,
        None,
        *(
            None if grad is None else summed_to(grad, t.aval.shape)
            for grad, t, has in zip(grads, (u, v), (has_u, has_v), strict=True)
            if has
        ),
    ]


def _gradient_jvp(
    primals: Any, tangents: Any, *, rule: Rule, x_shape: Shape | None, y_shape: Shape | None
) -> Any:
    x, y, g = primals
    dx, dy, dg = tangents
    shapes = (x_shape, y_shape)
    out = gradient(x, y, g, rule, *shapes)
    terms: list[list[Any]] = [[], []]
    if known(dg):
        for term, t in zip(terms, gradient(x, y, dg, rule, *shapes), strict=True):
            term.append(t)
    if known(dx) or known(dy):
        a, b = _alike(broadcast(x, x_shape), broadcast(y, y_shape), rule.axis)
        u, v = (t if known(t) else None for t in (dx, dy))
        second = _curvature(a, b, u, v, jnp.expand_dims(g, rule.axis), rule)
        for term, t, shape in zip(terms, second, shapes, strict=True):
            term.append(t if shape is None else summed_to(t, shape))
    dout = [
        sum(term[1:], term[0]) if term else ad.Zero(like(x, shape))
        for term, shape in zip(terms, shapes, strict=True)
        if shape is not None
    ]
    return [t for t in out if t is not None], dout


def _gradient_transpose(
    cotangents: Any, x: Any, y: Any, g: Any, *, rule: Rule, x_shape: Shape | None, y_shape: Shape | None
) -> list[Any]:
    it = iter(cotangents)
    cx, cy = (None if shape is None else next(it) for shape in (x_shape, y_shape))
    if not (known(cx) or known(cy)):
        return [None, None, None]
    return [None, None, summed_to(tangent(x, y, cx, cy, rule), g.aval.shape)]


ad.primitive_jvps[cosine_p] = _cosine_jvp
ad.primitive_jvps[tangent_p] = _tangent_jvp
ad.primitive_jvps[gradient_p] = _gradient_jvp
ad.primitive_transposes[tangent_p] = _tangent_transpose
ad.primitive_transposes[gradient_p] = _gradient_transpose
