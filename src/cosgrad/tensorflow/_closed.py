"""The closed forms for tensors of any known or unknown shapes. The results do not have the reduced axis."""

from dataclasses import replace
from typing import Any

import tensorflow as tf

from cosgrad import closed, formulas
from cosgrad.closed import BOTH, Rule
from cosgrad.tensorflow._ops import OPS


class Frame:
    """Two tensors as the closed forms need them: with one rank and the same length along the axis.

    If shapes are unknown, or the lengths along the axis differ, both tensors are broadcast and reshaped to
    three axes: all axes before the axis, the axis, and all axes after it. They are then in the dtype of the
    computation.
    """

    def __init__(self, x: Any, y: Any, axis: int) -> None:
        self.alone = x is y
        self.known = x.shape.is_fully_defined() and y.shape.is_fully_defined()
        if self.known:
            rank = max(x.shape.rank, y.shape.rank, 1)
            self.axis = axis % rank
            self.shapes = [(1,) * (rank - t.shape.rank) + tuple(t.shape) for t in (x, y)]
            self.known = self.shapes[0][self.axis] == self.shapes[1][self.axis]
        if not self.known:
            full = tf.broadcast_dynamic_shape(tf.shape(x), tf.shape(y))
            missing = tf.maximum(1 - tf.size(full), 0)
            self.full = tf.concat([tf.ones([missing], tf.int32), full], 0)  # a scalar is a vector of length 1
            at = axis if axis >= 0 else axis + tf.size(self.full)
            self.n, self.axis = tf.gather(self.full, at), 1  # `gather` raises if the axis does not exist
            before, behind = self.full[:at], self.full[at + 1 :]
            self.batch = tf.concat([before, behind], 0)
            self.outer, self.inner = tf.reduce_prod(before), tf.reduce_prod(behind)

    def rule(self, rule: Rule) -> Rule:
        """Return the rule with the axis of this frame."""
        return replace(rule, axis=self.axis)

    def x(self, t: Any) -> Any:
        """Convert a tensor of the shape of x to the layout of this frame."""
        return self._vectors(t, 0)

    def y(self, t: Any) -> Any:
        """Convert a tensor of the shape of y to the layout of this frame."""
        return self._vectors(t, 1)

    def _vectors(self, t: Any, which: int) -> Any:
        if t is None:
            return None
        if self.known:
            return tf.reshape(t, self.shapes[which])
        return tf.reshape(tf.broadcast_to(OPS.widen(t), self.full), [self.outer, self.n, self.inner])

    def rows(self, g: Any) -> Any:
        """Convert a tensor of the batch shape to the layout of this frame."""
        if g is None:
            return None
        if self.known:
            return tf.expand_dims(g, self.axis)
        return tf.reshape(OPS.widen(g), [self.outer, 1, self.inner])

    def batched(self, t: Any, like: Any) -> Any:
        """Return a result in the batch shape."""
        if self.known:
            return tf.squeeze(t, self.axis)
        return OPS.cast(tf.reshape(t, self.batch), like)

    def back(self, t: Any, like: Any) -> Any:
        """Return a gradient in the shape of x or y, summed over the broadcast axes."""
        if self.known:
            return tf.reshape(t, like.shape)
        shape = tf.shape(like)
        if self.alone:  # nothing was broadcast
            return OPS.cast(tf.reshape(t, shape), like)
        axes = tf.raw_ops.BroadcastGradientArgs(s0=shape, s1=self.full).r0
        return OPS.cast(tf.reshape(tf.reduce_sum(tf.reshape(t, self.full), axes), shape), like)


def cosine(x: Any, y: Any, rule: Rule) -> Any:
    """Return S, D or both."""
    f = Frame(x, y, rule.axis)
    out = closed.cosine(OPS, f.x(x), f.y(y), f.rule(rule))
    return tuple(f.batched(t, x) for t in out) if rule.what == BOTH else f.batched(out, x)


def gradient(x: Any, y: Any, g: Any, rule: Rule) -> tuple[Any, Any]:
    """Return g dS/dx and g dS/dy, or those of D."""
    f = Frame(x, y, rule.axis)
    gx, gy = closed.gradient(OPS, f.x(x), f.y(y), f.rows(g), f.rule(rule))
    return f.back(gx, x), f.back(gy, y)


def tangent(x: Any, y: Any, u: Any, v: Any, rule: Rule, g: Any = None) -> Any:
    """Return the derivative of S or D along (u, v); None means zeros. A cotangent g may exclude rows."""
    f = Frame(x, y, rule.axis)
    return f.batched(closed.tangent(OPS, f.x(x), f.y(y), f.x(u), f.y(v), f.rule(rule), f.rows(g)), x)


def curvature(x: Any, y: Any, u: Any, v: Any, g: Any, rule: Rule) -> tuple[Any, Any]:
    """Return the gradient of g times the tangent along (u, v): a Hessian-vector product."""
    f = Frame(x, y, rule.axis)
    hx, hy = closed.curvature(OPS, f.x(x), f.y(y), f.x(u), f.y(v), f.rows(g), f.rule(rule))
    return f.back(hx, x), f.back(hy, y)


def normalize(x: Any, axis: int, eps: float) -> Any:
    """Return x / max(|x|, eps)."""
    f = Frame(x, x, axis)
    return f.back(formulas.normalize(OPS, f.x(x), f.axis, eps), x)


def normalize_gradient(x: Any, g: Any, axis: int, eps: float) -> Any:
    """Return the product of g with the derivative of `normalize`."""
    f = Frame(x, x, axis)
    return f.back(formulas.normalize_gradient(OPS, f.x(x), f.x(g), f.axis, eps), x)


def normalize_hessian(x: Any, g: Any, h: Any, axis: int, eps: float) -> Any:
    """Return the gradient in x of <h, normalize_gradient(x, g)>."""
    f = Frame(x, x, axis)
    return f.back(formulas.normalize_hessian(OPS, f.x(x), f.x(g), f.x(h), f.axis, eps), x)


def unit_distance(x: Any, y: Any, axis: int, weights: Any) -> Any:
    """Return 1 - <x, y>. A row with weight 0 that is not finite is NaN, and its derivatives are 0."""
    f = Frame(x, y, axis)
    a, b = f.x(x), f.y(y)
    if weights is None:
        return f.batched(formulas.unit_distance(OPS, a, b, f.axis), x)
    finite = formulas.finite(OPS, a, f.axis) & formulas.finite(OPS, b, f.axis)
    excluded = (f.rows(weights) == 0) & ~finite
    a, b = OPS.where(excluded, 0, a), OPS.where(excluded, 0, b)
    return f.batched(OPS.where(excluded, float("nan"), formulas.unit_distance(OPS, a, b, f.axis)), x)
