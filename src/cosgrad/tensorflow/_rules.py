"""The functions with their rules of differentiation.

    cosine    x, y -> S and/or D       differentiated by gradient
    gradient  x, y, g -> g dS          by the closed forms of second order, and in g by tangent
    tangent   x, y, u, v -> J          by gradient and the closed forms

TensorFlow's forward mode is the transpose of a transpose, so it calls `tangent` as the derivative of
`gradient`.

Each rule has two versions. Eagerly on the CPU, tapes record the native operation itself. The rules are
registered for it, and the tape gives the gradients that it needs. In a graph, the native and the closed form
are recorded as one operation, and TensorFlow prunes unused results. If a tape watches only one operand, each
gradient is a separate operation.
"""

from typing import Any

import tensorflow as tf

from cosgrad.closed import BOTH, DISTANCE, SIMILARITY, Rule
from cosgrad.tensorflow import _closed, _native
from cosgrad.tensorflow._arguments import Names, broadcast, without_axis
from cosgrad.tensorflow._native import choose, eps_of, runs_on
from cosgrad.tensorflow._record import differentiable, one_watched


def cosine(x: Any, y: Any, rule: Rule, names: Names = ("x", "y")) -> Any:
    """Return S, D or both."""
    if runs_on(x, y):
        return _native.cosine(x, y, rule, names)
    apart = one_watched(x, y)

    def compute(x: Any, y: Any) -> Any:
        def native() -> Any:
            return _shaped(_tuple(_native.cosine(x, y, rule, names)), x, y, rule.axis)

        return _shaped(choose(native, lambda: _tuple(_closed.cosine(x, y, rule))), x, y, rule.axis)

    def vjp(inputs: Any, grads: Any) -> Any:
        x, y = inputs
        g = grads[0] - grads[1] if rule.what == BOTH else grads[0]
        if apart:
            return *gradient(x, y, g, rule, True, False), *gradient(x, y, g, rule, False, True)
        return gradient(x, y, g, rule)

    out = differentiable((x, y), compute, vjp)
    return out if rule.what == BOTH else out[0]


def gradient(x: Any, y: Any, g: Any, rule: Rule, need_x: bool = True, need_y: bool = True) -> tuple[Any, ...]:
    """Return g times the derivatives that are needed, in x, in y or in both."""
    if runs_on(x, y, g):
        return _native.gradient(x, y, g, rule, need_x, need_y)

    def compute(x: Any, y: Any, g: Any) -> Any:
        out = choose(
            lambda: _native.gradient(x, y, g, rule, need_x, need_y),
            lambda: _wanted(_closed.gradient(x, y, g, rule), need_x, need_y),
        )
        for t, like in zip(out, _wanted((x, y), need_x, need_y), strict=True):
            t.set_shape(like.shape)
        return out

    def vjp(inputs: Any, grads: Any) -> Any:
        x, y, g = inputs
        return _gradient_vjp(x, y, g, grads, rule, need_x, need_y)

    return differentiable((x, y, g), compute, vjp)


def _gradient_vjp(
    x: Any, y: Any, g: Any, grads: Any, rule: Rule, need_x: bool, need_y: bool, skip: Any = ()
) -> Any:
    """Return the gradient of g J(u, v) in x, y and g, with u and v the cotangents of g dS/dx and g dS/dy."""
    left = iter(grads)
    u, v = next(left) if need_x else None, next(left) if need_y else None
    hx = hy = J = None
    if 0 not in skip or 1 not in skip:
        hx, hy = _closed.curvature(x, y, u, v, g, rule)
    if 2 not in skip:
        J = _closed.tangent(x, y, u, v, rule, g) if rule.skip_zero else tangent(x, y, u, v, rule)
    return hx, hy, J


def tangent(x: Any, y: Any, u: Any, v: Any, rule: Rule) -> Any:
    """Return the derivative along (u, v); None means zeros."""
    nothing = tf.zeros([0], x.dtype)
    u, v = nothing if u is None else u, nothing if v is None else v
    if runs_on(x, y, u, v):
        return _native.tangent(x, y, u, v, rule)

    def compute(x: Any, y: Any, u: Any, v: Any) -> Any:
        def native() -> Any:
            return _shaped((_native.tangent(x, y, u, v, rule),), x, y, rule.axis)

        def closed() -> Any:
            return (_closed.tangent(x, y, _given(u, x), _given(v, y), rule),)

        return _shaped(choose(native, closed), x, y, rule.axis)

    def vjp(inputs: Any, grads: Any) -> Any:
        x, y, u, v = inputs
        return _tangent_vjp(x, y, u, v, grads[0], rule)

    return differentiable((x, y, u, v), compute, vjp)[0]


def _tangent_vjp(x: Any, y: Any, u: Any, v: Any, g: Any, rule: Rule, skip: Any = ()) -> Any:
    """Return the gradient of g J in x and y, a Hessian-vector product, and in u and v, the gradient of S."""
    hx = hy = None
    if 0 not in skip or 1 not in skip:
        hx, hy = _closed.curvature(x, y, _given(u, x), _given(v, y), g, rule)
    gu = None if 2 in skip or _given(u, x) is None else gradient(x, y, g, rule, True, False)[0]
    gv = None if 3 in skip or _given(v, y) is None else gradient(x, y, g, rule, False, True)[0]
    return hx, hy, gu, gv


def normalize(x: Any, axis: int, eps: float) -> Any:
    """Return x / max(|x|, eps)."""
    if runs_on(x):
        return _native.normalize(x, axis, eps)

    def compute(x: Any) -> Any:
        out = choose(lambda: (_native.normalize(x, axis, eps),), lambda: (_closed.normalize(x, axis, eps),))
        out[0].set_shape(x.shape)
        return out

    def vjp(inputs: Any, grads: Any) -> Any:
        return (normalize_gradient(inputs[0], grads[0], axis, eps),)

    return differentiable((x,), compute, vjp)[0]


def normalize_gradient(x: Any, g: Any, axis: int, eps: float) -> Any:
    """Return the product of g with the derivative of `normalize`, which is symmetric."""
    if runs_on(x, g):
        return _native.normalize_gradient(x, g, axis, eps)

    def compute(x: Any, g: Any) -> Any:
        out = choose(
            lambda: (_native.normalize_gradient(x, g, axis, eps),),
            lambda: (_closed.normalize_gradient(x, g, axis, eps),),
        )
        out[0].set_shape(x.shape)
        return out

    def vjp(inputs: Any, grads: Any) -> Any:
        x, g = inputs
        return _normalize_gradient_vjp(x, g, grads[0], axis, eps)

    return differentiable((x, g), compute, vjp)[0]


def _normalize_gradient_vjp(x: Any, g: Any, h: Any, axis: int, eps: float, skip: Any = ()) -> Any:
    curvature = None if 0 in skip else _closed.normalize_hessian(x, g, h, axis, eps)
    return curvature, None if 1 in skip else normalize_gradient(x, h, axis, eps)


def _tuple(out: Any) -> tuple[Any, ...]:
    return out if isinstance(out, tuple) else (out,)


def _shaped(out: Any, x: Any, y: Any, axis: int) -> Any:
    """Set the shape of the results, as far as it is known, and return them."""
    shape = without_axis(broadcast(("x", "y"), x, y), axis)
    for t in out:
        t.set_shape(shape)
    return out


def _given(t: Any, like: Any) -> Any:
    """Return a direction, or None if it is the empty tensor that means zeros."""
    return None if t.shape == [0] and like.shape != [0] else t


def _wanted(pair: tuple[Any, Any], need_x: bool, need_y: bool) -> tuple[Any, ...]:
    return tuple(t for t, need in zip(pair, (need_x, need_y), strict=True) if need)


def _skipped(op: Any) -> tuple[int, ...]:
    """Return the indices of the inputs whose gradient a tape does not need, or none of them in a graph."""
    return tuple(getattr(op, "skip_input_indices", None) or ())


def _attributes(op: Any) -> tuple[int, float]:
    return op.get_attr("axis"), eps_of(op.get_attr("eps_bits"))


def _register_cosine(name: str, what: str) -> None:
    @tf.RegisterGradient(name)
    def rule_of(op: Any, *grads: Any) -> Any:
        x, y = op.inputs
        rule = Rule(*_attributes(op), what, op.get_attr("skip_zero"))
        g = grads[0] - grads[1] if what == BOTH else grads[0]
        need_x, need_y = (i not in _skipped(op) for i in (0, 1))
        left = iter(gradient(x, y, g, rule, need_x, need_y) if need_x or need_y else ())
        return next(left) if need_x else None, next(left) if need_y else None


def _register_gradient(name: str, need_x: bool, need_y: bool) -> None:
    @tf.RegisterGradient(name)
    def rule_of(op: Any, *grads: Any) -> Any:
        x, y, g = op.inputs
        rule = Rule(*_attributes(op), _what(op), op.get_attr("skip_zero"))
        return _gradient_vjp(x, y, g, grads, rule, need_x, need_y, _skipped(op))


def _what(op: Any) -> str:
    return DISTANCE if op.get_attr("negate") else SIMILARITY


_register_cosine("CosgradSimilarity", SIMILARITY)
_register_cosine("CosgradDistance", DISTANCE)
_register_cosine("CosgradSimilarityAndDistance", BOTH)
_register_gradient("CosgradGradient", True, True)
_register_gradient("CosgradGradientX", True, False)
_register_gradient("CosgradGradientY", False, True)


@tf.RegisterGradient("CosgradTangent")
def _tangent_rule(op: Any, g: Any) -> Any:
    x, y, u, v = op.inputs
    return _tangent_vjp(x, y, u, v, g, Rule(*_attributes(op), _what(op)), _skipped(op))


@tf.RegisterGradient("CosgradNormalize")
def _normalize_rule(op: Any, g: Any) -> Any:
    return normalize_gradient(op.inputs[0], g, *_attributes(op))


@tf.RegisterGradient("CosgradNormalizeGradient")
def _normalize_gradient_rule(op: Any, h: Any) -> Any:
    x, g = op.inputs
    return _normalize_gradient_vjp(x, g, h, *_attributes(op), _skipped(op))
