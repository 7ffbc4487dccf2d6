"""The derivatives of the similarity as functions: gradient, JVP and Hessian-vector product."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cosgrad import _native, formulas, spec
from cosgrad.numpy._arrays import (
    FRONTEND,
    OPS,
    Array,
    address,
    aligned,
    as_array,
    as_pair,
    convert,
    dtype_index,
    keeping_subnormals,
    view,
)


@keeping_subnormals
def cosine_similarity_grad(
    x: ArrayLike, y: ArrayLike, grad_output: ArrayLike | None = None, *, axis: int = -1, eps: float = 0.0
) -> tuple[Array, Array]:
    r"""Return the gradients g dS/dx and g dS/dy, each element within 0.51 ulp.

    dS/dx = y / (|x| |y|) - S x / |x|^2, and dS/dy is the same with x and y exchanged. If a norm is below eps,
    its factor is the constant eps, and the gradient of that vector has no term with S. With eps = 0, both
    gradients of a row with a zero vector are 0.

    Args:
        x: As in `cosine_similarity`.
        y: As in `cosine_similarity`.
        grad_output: The cotangent g, which broadcasts to the similarity's shape; ones if not given. It is
            converted to the promoted dtype of x and y. The product with it is rounded once.
        axis: Axis of the vectors, counted in the broadcast shape.
        eps: Lower bound of each norm, at least 0.

    Returns:
        Two arrays, of the shapes of x and y. The gradient of a broadcast operand is the sum over its rows.

    Raises:
        ValueError: As `cosine_similarity`, or grad_output does not fit.
        TypeError: As `cosine_similarity`.

    Example:
        >>> gx, gy = cosine_similarity_grad([1.0, 2.0], [2.0, 1.0])
        >>> gx, gy
        (array([ 0.24, -0.12]), array([-0.12,  0.24]))
    """
    a, b, axis, batch = as_pair("x", x, "y", y, axis)
    g = _cotangent(grad_output, batch, a.dtype)
    gx, gy = np.empty_like(a), np.empty_like(b)
    _native.backward(
        dtype_index(a.dtype) or 0,
        1,
        axis,
        spec.check_eps(eps),
        *view(a),
        *view(b),
        address(g),
        g.strides,
        address(gx),
        gx.strides,
        address(gy),
        gy.strides,
        False,
        False,
        0,
    )
    return gx.reshape(np.shape(x)), gy.reshape(np.shape(y))


@keeping_subnormals
def cosine_similarity_jvp(
    x: ArrayLike,
    y: ArrayLike,
    dx: ArrayLike,
    dy: ArrayLike,
    *,
    axis: int = -1,
    eps: float = 0.0,
    keepdims: bool = False,
) -> Any:
    r"""Return the total derivative <dx, dS/dx> + <dy, dS/dy>, a Jacobian-vector product.

    Args:
        x: As in `cosine_similarity`.
        y: As in `cosine_similarity`.
        dx: Direction in x, which broadcasts to the shape of x.
        dy: Direction in y, which broadcasts to the shape of y.
        axis: Axis of the vectors, counted in the broadcast shape.
        eps: Lower bound of each norm, at least 0.
        keepdims: Keep the axis, with length 1.

    Returns:
        An array of the similarity's shape and dtype.

    Raises:
        ValueError: As `cosine_similarity`, or a direction does not fit.
        TypeError: As `cosine_similarity`.

    Example:
        >>> float(cosine_similarity_jvp([1.0, 2.0], [2.0, 1.0], [1.0, 0.0], [0.0, 0.0]))
        0.24
    """
    a, b, axis, batch = as_pair("x", x, "y", y, axis)
    u, v = _direction("dx", dx, "x", a), _direction("dy", dy, "y", b)
    out = np.empty((*batch[:axis], 1, *batch[axis:]) if keepdims else batch, a.dtype)
    _native.jvp(
        dtype_index(a.dtype) or 0,
        1,
        axis,
        spec.check_eps(eps),
        *view(a),
        *view(b),
        address(u),
        u.strides,
        address(v),
        v.strides,
        address(out),
        False,
        0,
    )
    return out[()]


@keeping_subnormals
def cosine_similarity_hvp(
    x: ArrayLike,
    y: ArrayLike,
    dx: ArrayLike,
    dy: ArrayLike,
    grad_output: ArrayLike | None = None,
    *,
    axis: int = -1,
    eps: float = 0.0,
) -> tuple[Array, Array]:
    r"""Return the Hessian of g S times the direction (dx, dy), computed by the closed form in float64.

    It is the derivative of `cosine_similarity_grad` along (dx, dy), and the gradient of
    `cosine_similarity_jvp`.

    Args:
        x: As in `cosine_similarity`.
        y: As in `cosine_similarity`.
        dx: Direction in x, which broadcasts to the shape of x.
        dy: Direction in y, which broadcasts to the shape of y.
        grad_output: The cotangent g, which broadcasts to the similarity's shape; ones if not given.
        axis: Axis of the vectors, counted in the broadcast shape.
        eps: Lower bound of each norm, at least 0.

    Returns:
        Two arrays, of the shapes of x and y.

    Raises:
        ValueError: As `cosine_similarity`, or a direction or grad_output does not fit.
        TypeError: As `cosine_similarity`.

    Example:
        >>> hx, hy = cosine_similarity_hvp([1.0, 2.0], [2.0, 1.0], [1.0, 0.0], [0.0, 0.0])
        >>> np.round(hx, 6), np.round(hy, 6)
        (array([-0.224, -0.008]), array([ 0.064, -0.128]))
    """
    a, b, axis, batch = as_pair("x", x, "y", y, axis)
    u, v = _direction("dx", dx, "x", a), _direction("dy", dy, "y", b)
    g = np.expand_dims(_cotangent(grad_output, batch, a.dtype), axis)
    rank, dtype = len(batch) + 1, a.dtype
    wide = [aligned(t, rank).astype(np.float64) for t in (a, b, u, v)]
    length = max(t.shape[axis] for t in wide[:2]) if all(t.shape[axis] for t in wide[:2]) else 0
    a, b, u, v = (np.repeat(t, length, axis) if t.shape[axis] != length else t for t in wide)
    with np.errstate(all="ignore"):
        hx, hy = formulas.hessian_product(OPS, a, b, u, v, OPS.widen(g), axis, spec.check_eps(eps))
        hx, hy = (_sum_like(h, t, axis).astype(dtype) for h, t in ((hx, wide[0]), (hy, wide[1])))
    return hx.reshape(np.shape(x)), hy.reshape(np.shape(y))


def _sum_like(h: Array, like: Array, axis: int) -> Array:
    return h.sum(axis, keepdims=True) if h.shape[axis] != like.shape[axis] else h


def _cotangent(grad_output: ArrayLike | None, batch: spec.Shape, dtype: np.dtype[Any]) -> Array:
    if grad_output is None:
        return np.broadcast_to(np.ones((), dtype), batch)
    g = convert(as_array("grad_output", grad_output), dtype)
    FRONTEND.check_fits("grad_output", g.shape, batch, "the similarity's shape")
    return np.broadcast_to(g, batch)


def _direction(name: str, direction: ArrayLike, of: str, like: Array) -> Array:
    t = convert(as_array(name, direction), like.dtype)
    FRONTEND.check_fits(name, t.shape, like.shape, f"the shape of {of},")
    return np.broadcast_to(t, like.shape)
