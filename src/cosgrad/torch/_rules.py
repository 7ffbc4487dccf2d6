"""The autograd functions of S and D: their VJPs, JVPs and `vmap` rules.

    Cosine    x, y -> S and/or D       backward: Gradient        jvp: Tangent
    Gradient  x, y, g -> g dS          backward and jvp: the closed forms of second order
    Tangent   x, y, u, v -> J          backward: Gradient and the closed forms; jvp: the closed forms

There are two versions of Cosine and of Gradient. One is for plain autograd. The other has the `setup_context`
that `torch.func` and forward mode require; `setup_context` makes every call several times as long.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from cosgrad.closed import BOTH, Rule
from cosgrad.torch import _closed, _native
from cosgrad.torch._native import batch_shape, broadcast_shapes
from cosgrad.torch._operators import OPERATORS, unpack, wanted
from cosgrad.torch._ops import OPS
from cosgrad.torch._rule import Function, batched, functionalized, kept, plain, recorded, transformed

Pair = tuple[Tensor | None, Tensor | None]


def cosine(x: Tensor, y: Tensor, rule: Rule) -> Any:
    """Return S, D or both, recorded by autograd and by active transforms."""
    record = torch.is_grad_enabled() and (x.requires_grad or y.requires_grad)
    if not transformed():
        return Cosine.apply(x, y, rule) if record else _cosine(x, y, rule)
    if functionalized():
        return _operator(x, y, rule)
    return TransformedCosine.apply(x, y, rule)


def gradient(x: Tensor, y: Tensor, g: Tensor, rule: Rule, need_x: bool, need_y: bool) -> Pair:
    """Return g times the needed derivatives in x and in y, recorded like `cosine`."""
    if transformed():
        if functionalized():
            return _gradient_operator(x, y, g, rule, need_x, need_y)
        return unpack(TransformedGradient.apply(x, y, g, rule, need_x, need_y), need_x, need_y)
    if torch.is_grad_enabled() and recorded(x, y, g):
        return unpack(Gradient.apply(x, y, g, rule, need_x, need_y), need_x, need_y)
    return _gradient(x, y, g, rule, need_x, need_y)


def tangent(x: Tensor, y: Tensor, u: Tensor | None, v: Tensor | None, rule: Rule) -> Any:
    """Return the derivative along (u, v), recorded like `cosine`. None means zeros."""
    if transformed() or recorded(x, y, u, v):
        return Tangent.apply(x, y, u, v, rule)
    return _tangent(x, y, u, v, rule)


def forward_grad() -> Any:
    """Return a context in which a JVP rule can itself be differentiated in forward mode.

    PyTorch runs the rule with forward mode switched off. An outer `torch.func.jvp` would treat its results
    as constants.
    """
    return forward_ad._set_fwd_grad_enabled(True)


def primals(ctx: Any) -> list[Any]:
    """Return the tensors that a JVP rule has saved, without the tangents that the rule itself propagates."""
    return [t if t is None else torch._unpack_dual(t, level=0).primal for t in ctx.saved_tensors]


def front(x: Tensor, dim: int | None, size: int = 1) -> Tensor:
    """Return x with the mapped dimension first. If there is none, expand x by one, without a copy."""
    return x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)


def _cosine(x: Tensor, y: Tensor, rule: Rule) -> Any:
    if plain(x, y):
        return _native.cosine(x, y, rule)
    return _operator(x, y, rule)


def _operator(x: Tensor, y: Tensor, rule: Rule) -> Any:
    return getattr(OPERATORS, rule.what)(x, y, rule.axis, rule.eps, rule.skip_zero)


def _gradient(x: Tensor, y: Tensor, g: Tensor, rule: Rule, need_x: bool, need_y: bool) -> Pair:
    if plain(x, y, g):
        return _native.gradient(x, y, g, rule, need_x, need_y)
    if batched(g):
        gx, gy = _closed.gradient(x, y, g, rule)
        return gx if need_x else None, gy if need_y else None
    return _gradient_operator(x, y, g, rule, need_x, need_y)


def _gradient_operator(x: Tensor, y: Tensor, g: Tensor, rule: Rule, need_x: bool, need_y: bool) -> Pair:
    results = OPERATORS.gradient(x, y, g, rule.axis, rule.eps, rule.what, rule.skip_zero, need_x, need_y)
    return unpack(results, need_x, need_y)


def _tangent(x: Tensor, y: Tensor, u: Tensor | None, v: Tensor | None, rule: Rule) -> Tensor:
    compute = _native.tangent if plain(x, y, u, v) else _closed.tangent
    return compute(x, y, u, v, rule)


class Cosine(Function):
    """S, D or both."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, rule: Rule) -> Any:
        """Return the values. To need little memory, save only x and y. The backward pass reads them again."""
        ctx.save_for_backward(*kept(x, y))
        ctx.rule = rule
        if rule.what == BOTH:
            ctx.set_materialize_grads(False)
        return _cosine(x, y, rule)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        """Return the gradients that are needed."""
        g, rule = grads[0], ctx.rule
        if rule.what == BOTH and grads[1] is not None:
            g = -grads[1] if g is None else g - grads[1]
        if g is None:
            return None, None, None
        x, y = ctx.saved_tensors
        need_x, need_y, _ = ctx.needs_input_grad
        return *gradient(x, y, g, rule, need_x, need_y), None


class PlainCosine(Cosine):
    """`Cosine` for tensors that are known to be plain. It saves checks, which dominate for small tensors."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, rule: Rule) -> Any:
        """Call the native core without further checks."""
        ctx.save_for_backward(*kept(x, y))
        ctx.rule = rule
        return _native.cosine(x, y, rule)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        """Call the native core, or `Cosine.backward` if this gradient is itself to be differentiated."""
        g = grads[0]
        if g is None or len(grads) > 1 or torch.is_grad_enabled() or transformed():
            return Cosine.backward(ctx, *grads)
        x, y = ctx.saved_tensors
        need_x, need_y, _ = ctx.needs_input_grad
        return *_gradient(x, y, g, ctx.rule, need_x, need_y), None


class PlainMean(Function):
    """The sum of S or D over all rows, divided by a number, for tensors that are known to be plain."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, rule: Rule, count: int) -> Any:
        """Compute the sum in a wide type and round it once."""
        rows = _native.cosine(x, y, rule)
        ctx.save_for_backward(*kept(x, y))
        ctx.rest = rule, count, rows.shape
        return torch.scalar_tensor(OPS.total(rows).item() / count, dtype=x.dtype, device="cpu")

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """Return the gradients. All rows share one cotangent, which is expanded without a copy."""
        x, y = ctx.saved_tensors
        rule, count, shape = ctx.rest
        need_x, need_y, *_ = ctx.needs_input_grad
        if torch.is_grad_enabled() or transformed() or not plain(g):
            g = OPS.cast(OPS.widen(g) / count, g)
        else:
            g = torch.scalar_tensor(g.item() / count, dtype=g.dtype, device="cpu")
        return *gradient(x, y, g.expand(shape), rule, need_x, need_y), None, None


class TransformedCosine(Cosine):
    """`Cosine` under `torch.func` and in forward mode."""

    @staticmethod
    def forward(*inputs: Any) -> Any:
        """Return the values. `setup_context` saves the inputs."""
        return _cosine(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Save x and y for reverse and forward mode."""
        x, y, ctx.rule = inputs
        ctx.save_for_backward(*kept(x, y))
        ctx.save_for_forward(x, y)
        ctx.set_materialize_grads(False)

    @staticmethod
    def jvp(ctx: Any, u: Tensor | None, v: Tensor | None, _: None) -> Any:
        """Return the tangent of each result."""
        with forward_grad():
            x, y = primals(ctx)
            J = tangent(x, y, u, v, ctx.rule)
            return (J, -J) if ctx.rule.what == BOTH else J

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, y: Tensor, rule: Rule) -> Any:
        """Treat the mapped dimension as a further batch dimension. Unmapped tensors are broadcast."""
        out = cosine(front(x, in_dims[0]), front(y, in_dims[1]), rule.batched())
        return out, (0, 0) if rule.what == BOTH else 0


class Gradient(Function):
    """The products of a cotangent with dS/dx and dS/dy, or with those of D."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, g: Tensor, rule: Rule, need_x: bool, need_y: bool) -> Any:
        """Return the products. Save the inputs for the closed forms."""
        ctx.save_for_backward(*kept(x, y, g))
        ctx.set_materialize_grads(False)
        ctx.rest = rule, need_x, need_y
        return TransformedGradient.forward(x, y, g, rule, need_x, need_y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        """Return the gradient of g J(u, v) in x, y and g, for cotangents u of g dS/dx and v of g dS/dy."""
        x, y, g = ctx.saved_tensors
        rule, need_x, need_y = ctx.rest
        left = iter(grads)
        u, v = next(left) if need_x else None, next(left) if need_y else None
        if u is None and v is None:
            return (None,) * 6
        hx = hy = J = None
        if ctx.needs_input_grad[0] or ctx.needs_input_grad[1]:
            hx, hy = _closed.curvature(x, y, u, v, g, rule)
        if ctx.needs_input_grad[2]:
            J = _closed.tangent(x, y, u, v, rule, g)
        return hx, hy, J, None, None, None


class TransformedGradient(Gradient):
    """`Gradient` under `torch.func` and in forward mode."""

    @staticmethod
    def forward(*inputs: Any) -> Any:
        """Return the products. `setup_context` saves the inputs."""
        return tuple(t for t in _gradient(*inputs) if t is not None)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Save x, y and g for reverse and forward mode."""
        x, y, g, *rest = inputs
        ctx.rest = rest
        ctx.save_for_backward(*kept(x, y, g))
        ctx.save_for_forward(x, y, g)
        ctx.set_materialize_grads(False)

    @staticmethod
    def jvp(ctx: Any, u: Tensor | None, v: Tensor | None, h: Tensor | None, *_: None) -> Any:
        """Return the tangents of the products.

        Along (u, v) this is the Hessian-vector product of `backward`, because the Hessian is symmetric. The
        products are linear in g.
        """
        rule, need_x, need_y = ctx.rest
        total = None
        with forward_grad():
            x, y, g = primals(ctx)
            if u is not None or v is not None:
                total = _closed.curvature(x, y, u, v, g, rule)
            if h is not None:
                linear = _closed.gradient(x, y, h, rule)
                total = linear if total is None else (total[0] + linear[0], total[1] + linear[1])
        return (None,) * (need_x + need_y) if total is None else tuple(wanted(total, need_x, need_y))

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, x: Tensor, y: Tensor, g: Tensor, rule: Rule, need_x: bool, need_y: bool
    ) -> Any:
        """Expand unmapped tensors that need a gradient, because each element of the batch has its own."""
        x = front(x, in_dims[0], info.batch_size if need_x else 1)
        y = front(y, in_dims[1], info.batch_size if need_y else 1)
        g = front(g, in_dims[2], info.batch_size)
        results = gradient(x, y, g, rule.batched(), need_x, need_y)
        results_wanted = tuple(t for t in results if t is not None)
        return results_wanted, (0,) * len(results_wanted)


def _expanded(*tensors: Tensor | None) -> Any:
    shape = broadcast_shapes(*(t.shape for t in tensors if t is not None))
    return [None if t is None else t.expand(shape) for t in tensors]


class Tangent(Function):
    """The derivative of S or D along (u, v), under `torch.func` and in forward mode."""

    @staticmethod
    def forward(x: Tensor, y: Tensor, u: Tensor | None, v: Tensor | None, rule: Rule) -> Any:
        """Return the derivative. `setup_context` saves the inputs."""
        return _tangent(x, y, u, v, rule)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Save all tensors for reverse and forward mode."""
        *tensors, ctx.rule = inputs
        ctx.save_for_backward(*kept(*tensors))
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """Return the gradients of g J.

        In x and y they are the Hessian-vector product. J is linear in (u, v), and its coefficients are the
        gradient of S or D.
        """
        x, y, u, v = ctx.saved_tensors
        need_x, need_y, need_u, need_v, _ = ctx.needs_input_grad
        hx, hy = _closed.curvature(x, y, u, v, g, ctx.rule) if need_x or need_y else (None, None)
        gu, gv = gradient(x, y, g, ctx.rule, need_u, need_v) if need_u or need_v else (None, None)
        return hx, hy, gu, gv, None

    @staticmethod
    def jvp(ctx: Any, dx: Any, dy: Any, du: Any, dv: Any, _: None) -> Any:
        """Return the derivative of J: of its closed form along (dx, dy), plus J along (du, dv)."""
        rule = ctx.rule
        with forward_grad():
            x, y, u, v = primals(ctx)
            J = tangent(x, y, du, dv, rule) if du is not None or dv is not None else 0
            if dx is None and dy is None:
                return J
            x, y, u, v, dx, dy = _expanded(x, y, u, v, dx, dy)  # so that no row is summed with another
            ones = x.new_ones(()).expand(batch_shape(x, y, rule.axis))
            for h, t in zip(_closed.curvature(x, y, u, v, ones, rule), (dx, dy), strict=True):
                if t is not None:
                    J = J + (h * t).sum(rule.axis)
            return J

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, x: Tensor, y: Tensor, u: Tensor | None, v: Tensor | None, rule: Rule
    ) -> Any:
        """Treat the mapped dimension as a further batch dimension.

        A vector and its tangent have the same shape, so they are expanded together.
        """
        dims_x, dims_y, dims_u, dims_v, _ = in_dims
        size_x = 1 if dims_x is None and dims_u is None else info.batch_size
        size_y = 1 if dims_y is None and dims_v is None else info.batch_size
        x, y = front(x, dims_x, size_x), front(y, dims_y, size_y)
        u = None if u is None else front(u, dims_u, size_x)
        v = None if v is None else front(v, dims_v, size_y)
        return tangent(x, y, u, v, rule.batched()), 0
