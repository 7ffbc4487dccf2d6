"""What autograd and compilers see: a function of x, y, the scale and the bias, with its derivatives.

Where a derivative is wanted, the forward computes it along with the value, and the backward only multiplies:
the sigmoid loss saves a product in four, and no rank has to talk in a backward. A second derivative takes the
formula on the whole matrix.
"""

from typing import Any

import torch
from torch import Tensor

from cosgrad.torch._array import OPS
from cosgrad.torch._contrastive import dense, sigmoid, softmax
from cosgrad.torch._contrastive.problem import Needs, Options, Result, full_dtype
from cosgrad.torch._contrastive.ring import Ring
from cosgrad.torch._operators import LIBRARY, OPERATORS, library
from cosgrad.torch._rule import Function, dissolves, intercepted, kept, recorded, traced, transformed, watched

LIBRARY.define(
    "contrastive(Tensor x, Tensor? y, Tensor scale, Tensor? bias, Tensor? labels_x, Tensor? labels_y, "
    "Tensor? ignore, bool symmetric, bool need_x=False, bool need_y=False, bool need_scale=False, "
    "bool need_bias=False) -> (Tensor, Tensor, Tensor, Tensor, Tensor)"
)


def contrastive(
    x: Tensor, y: Tensor | None, scale: Tensor, bias: Tensor | None, options: Options, ring: Ring
) -> Tensor:
    """Return the loss in the dtype of x, recorded by whatever wants to differentiate it.

    Args:
        x: Matrix of rows.
        y: Matrix of columns, or None for x itself.
        scale: What multiplies the similarities, of rank 0.
        bias: What is added to them, of rank 0: the sigmoid loss. None: the softmax.
        options: What else is asked.
        ring: The ranks that share the batch.
    """
    out: Tensor
    if ring.group is None:
        seen = traced() or intercepted()
        if transformed() and not seen:
            return _formula(x, y, scale, bias, options).to(x.dtype)
        if seen or watched(x, y, scale, bias, *options.tensors()):
            out, *_ = OPERATORS.contrastive(x, y, scale, bias, *options.arguments())
            return out.to(x.dtype)
    elif transformed() or traced():
        raise RuntimeError(
            "group= is not supported under torch.compile, torch.func or forward mode: call the loss outside"
        )
    if recorded(x, y, scale, bias):
        out = Tiled.apply(x, y, scale, bias, options, ring)
    else:
        out = _tiled(x, y, scale, bias, options, ring, Needs()).loss
    return out.to(x.dtype)


def _formula(x: Tensor, y: Tensor | None, scale: Tensor, bias: Tensor | None, options: Options) -> Tensor:
    if bias is None or y is None:
        return dense.softmax(x, y, scale, options)
    return dense.sigmoid(x, y, scale, bias)


def _tiled(
    x: Tensor,
    y: Tensor | None,
    scale: Tensor,
    bias: Tensor | None,
    options: Options,
    ring: Ring,
    needs: Needs,
) -> Result:
    if bias is None or y is None:
        return softmax.loss(x, y, scale.item(), options, ring, needs)
    return sigmoid.loss(x, y, scale.item(), bias.item(), ring, needs)


class Tiled(Function):
    """The loss, with its derivatives kept from the forward."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor | None,
        scale: Tensor,
        bias: Tensor | None,
        options: Options,
        ring: Ring,
    ) -> Any:
        """Keep the derivatives that are needed, and the inputs for those of the second order."""
        needs = Needs(*ctx.needs_input_grad[:4])
        if ring.group is None and watched(x, y, scale, bias, *options.tensors()):
            with torch._C._AutoDispatchBelowAutograd():
                loss, *grads = OPERATORS.contrastive(x, y, scale, bias, *options.arguments(), *needs)
            result = Result(loss, *(G if need else None for G, need in zip(grads, needs, strict=True)))
        else:
            result = _tiled(x, y, scale, bias, options, ring, needs)
        return _keep(ctx, result, (x, y, scale, bias), options, ring)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """Multiply by the cotangent, or differentiate the formula for a derivative of higher order."""
        inputs, grads = ctx.saved_tensors[:4], ctx.saved_tensors[4:]
        if torch.is_grad_enabled():
            return *_differentiable(ctx, inputs, g), None, None
        pairs = zip(inputs, grads, strict=True)
        return *(None if G is None else (g.to(G.dtype) * G).to(t.dtype) for t, G in pairs), None, None


def _keep(
    ctx: Any, result: Result, inputs: tuple[Tensor | None, ...], options: Options, ring: Ring
) -> Tensor:
    gx, gy, g_scale, g_bias = result.gx, result.gy, result.g_scale, result.g_bias
    if ring.averaged:
        gx, gy = (None if G is None else G.mul_(ring.ranks) for G in (gx, gy))
        g_scale, g_bias = (None if G is None else ring.sum(G) for G in (g_scale, g_bias))
    ctx.save_for_backward(*kept(*inputs), gx, gy, g_scale, g_bias)
    ctx.options, ctx.ring = options, ring
    return result.loss


def _differentiable(ctx: Any, inputs: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    if ctx.ring.group is not None:
        raise RuntimeError(
            "a second derivative over a group is not supported: take the loss of one process, without group="
        )
    needs = ctx.needs_input_grad[:4]
    wanted = [t for t, need in zip(inputs, needs, strict=True) if need]
    x, y, scale, bias = inputs
    loss = _formula(x, y, scale, bias, ctx.options)
    grads = iter(torch.autograd.grad(loss, wanted, g.to(loss.dtype), create_graph=True))
    return tuple(next(grads) if need else None for need in needs)


def _operator(
    x: Tensor,
    y: Tensor | None,
    scale: Tensor,
    bias: Tensor | None,
    labels_x: Tensor | None,
    labels_y: Tensor | None,
    ignore: Tensor | None,
    symmetric: bool,
    *needs: bool,
) -> tuple[Tensor, ...]:
    """Compute on a device; a derivative that is not needed has no elements."""
    options = Options(symmetric, y is None, labels_x, labels_y, ignore)
    ring = Ring(None, [(x if y is None else y).shape[0]])
    result = _tiled(x, y, scale, bias, options, ring, Needs(*needs))
    grads = (result.gx, result.gy, result.g_scale, result.g_bias)
    return result.loss, *(x.new_empty(0) if G is None else G for G in grads)


def _fake(x: Tensor, y: Tensor | None, scale: Tensor, bias: Tensor | None, *rest: Any) -> tuple[Tensor, ...]:
    needs = Needs(*rest[4:])
    full = full_dtype(x)
    loss = OPS.widen(x.new_empty((), dtype=full))
    likes = (
        x.new_empty(x.shape, dtype=full),
        x.new_empty(x.shape if y is None else y.shape, dtype=full),
        loss,
        loss,
    )
    return loss, *(
        torch.empty_like(G) if need else x.new_empty(0) for G, need in zip(likes, needs, strict=False)
    )


def _autograd(
    x: Tensor, y: Tensor | None, scale: Tensor, bias: Tensor | None, *rest: Any
) -> tuple[Tensor, ...]:
    options = Options(rest[3], y is None, *rest[:3])
    given = [t for t in (x, y, scale, bias) if t is not None]
    if dissolves(*given):
        loss = _formula(x, y, scale, bias, options)
    elif recorded(*given):
        loss = Tiled.apply(x, y, scale, bias, options, Ring(None, [(x if y is None else y).shape[0]]))
    else:
        with torch._C._AutoDispatchBelowAutograd():
            result: tuple[Tensor, ...] = OPERATORS.contrastive(x, y, scale, bias, *rest)
        return result
    return loss, *(x.new_empty(0) for _ in range(4))


def _vmap(info: Any, in_dims: Any, *args: Any) -> Any:
    def chosen(i: int) -> list[Any]:
        return [a if dim is None else a.select(dim, i) for a, dim in zip(args, in_dims, strict=True)]

    if info.batch_size == 0:
        empty = [
            a if dim is None else a.new_zeros(a.movedim(dim, 0).shape[1:])
            for a, dim in zip(args, in_dims, strict=True)
        ]
        return tuple(r.new_empty(0, *r.shape) for r in OPERATORS.contrastive(*empty)), (0,) * 5
    results = [OPERATORS.contrastive(*chosen(i)) for i in range(info.batch_size)]
    return tuple(map(torch.stack, zip(*results, strict=True))), (0,) * 5


LIBRARY.impl("contrastive", _operator, "CompositeExplicitAutograd")
LIBRARY.impl("contrastive", _autograd, "Autograd")
library.register_fake("cosgrad::contrastive", _fake, lib=LIBRARY)
library.register_vmap("cosgrad::contrastive", _vmap, lib=LIBRARY)
