"""The autograd functions of x / max(|x|, eps).

Its Jacobian is symmetric, so the VJP and the JVP are the same product. As in `_rules`, each function has one
version for plain autograd and one for `torch.func` and forward mode.
"""

from typing import Any

from torch import Tensor

from cosgrad import formulas
from cosgrad.torch import _native
from cosgrad.torch._operators import OPERATORS
from cosgrad.torch._ops import OPS
from cosgrad.torch._rule import Function, batched, functionalized, kept, plain, recorded, transformed
from cosgrad.torch._rules import forward_grad, front, primals


def normalize(x: Tensor, axis: int, eps: float) -> Any:
    """Return x / max(|x|, eps), recorded by autograd and by active transforms."""
    if transformed():
        if functionalized():
            return OPERATORS.normalize(x, axis, eps)
        return TransformedNormalize.apply(x, axis, eps)
    return Normalize.apply(x, axis, eps) if recorded(x) else _normalize(x, axis, eps)


def gradient(x: Tensor, g: Tensor, axis: int, eps: float) -> Any:
    """Return the product of g with the Jacobian, recorded like `normalize`."""
    if transformed():
        if functionalized():
            return OPERATORS.normalize_gradient(x, g, axis, eps)
        return TransformedNormalizeGradient.apply(x, g, axis, eps)
    return NormalizeGradient.apply(x, g, axis, eps) if recorded(x, g) else _gradient(x, g, axis, eps)


def _normalize(x: Tensor, axis: int, eps: float) -> Any:
    if plain(x):
        return _native.normalize(x, axis, eps)
    return OPERATORS.normalize(x, axis, eps)


def _gradient(x: Tensor, g: Tensor, axis: int, eps: float) -> Any:
    if plain(x, g):
        return _native.normalize_gradient(x, g, axis, eps)
    if batched(g):
        return formulas.normalize_gradient(OPS, x, g, axis, eps)
    return OPERATORS.normalize_gradient(x, g, axis, eps)


class Normalize(Function):
    """The function x / max(|x|, eps)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, axis: int, eps: float) -> Any:
        """Return the unit vectors. Save only x."""
        ctx.save_for_backward(*kept(x))
        ctx.rest = axis, eps
        return _normalize(x, axis, eps)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """Return the VJP."""
        (x,) = ctx.saved_tensors
        return gradient(x, g, *ctx.rest), None, None


class TransformedNormalize(Normalize):
    """`Normalize` under `torch.func` and in forward mode."""

    @staticmethod
    def forward(*inputs: Any) -> Any:
        """Return the unit vectors. `setup_context` saves the input."""
        return _normalize(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Save x for reverse and forward mode."""
        x, *ctx.rest = inputs
        ctx.save_for_backward(*kept(x))
        ctx.save_for_forward(x)

    @staticmethod
    def jvp(ctx: Any, u: Tensor, *_: None) -> Any:
        """Return the JVP."""
        with forward_grad():
            (x,) = primals(ctx)
            return gradient(x, u, *ctx.rest)

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, axis: int, eps: float) -> Any:
        """Treat the mapped dimension as a further batch dimension."""
        return normalize(front(x, in_dims[0]), axis + 1, eps), 0


class NormalizeGradient(Function):
    """The product of g with the Jacobian at x, as a function of x and g."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, g: Tensor, axis: int, eps: float) -> Any:
        """Return the product. Save x and g for the closed forms."""
        ctx.save_for_backward(*kept(x, g))
        ctx.rest = axis, eps
        return _gradient(x, g, axis, eps)

    @staticmethod
    def backward(ctx: Any, h: Tensor) -> Any:
        """Return the gradients of the product in x and g.

        In x it is the second derivative, in closed form. In g the product is linear, with a symmetric matrix.
        """
        x, g = ctx.saved_tensors
        need_x, need_g, *_ = ctx.needs_input_grad
        in_x = formulas.normalize_hessian(OPS, x, g, h, *ctx.rest) if need_x else None
        return in_x, gradient(x, h, *ctx.rest) if need_g else None, None, None


class TransformedNormalizeGradient(NormalizeGradient):
    """`NormalizeGradient` under `torch.func` and in forward mode."""

    @staticmethod
    def forward(*inputs: Any) -> Any:
        """Return the product. `setup_context` saves the inputs."""
        return _gradient(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Save x and g for reverse and forward mode."""
        x, g, *ctx.rest = inputs
        ctx.save_for_backward(*kept(x, g))
        ctx.save_for_forward(x, g)

    @staticmethod
    def jvp(ctx: Any, u: Tensor, h: Tensor, *_: None) -> Any:
        """Return the JVP. The second derivative is symmetric in its three arguments."""
        with forward_grad():
            x, g = primals(ctx)
            return formulas.normalize_hessian(OPS, x, g, u, *ctx.rest) + gradient(x, h, *ctx.rest)

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, g: Tensor, axis: int, eps: float) -> Any:
        """Treat the mapped dimension as a further batch dimension."""
        x, g = front(x, in_dims[0], info.batch_size), front(g, in_dims[1], info.batch_size)
        return gradient(x, g, axis + 1, eps), 0
