"""The autograd function and the operator of the tiled losses: functions of x, y, the scale and the bias.

If a derivative is needed, the forward pass computes it together with the value, and the backward pass only
multiplies it by the cotangent. This saves one of four matrix products in the sigmoid loss, and the ranks of a
group need not communicate in the backward pass. A second derivative uses the formula on the whole matrix.
"""

import math
from typing import Any

import torch
from torch import Tensor

from cosgrad.spec import check_finite, check_temperature
from cosgrad.torch._autocast import loss_dtype
from cosgrad.torch._contrastive import dense, sigmoid, softmax
from cosgrad.torch._contrastive.problem import Needs, Options, Result, full_dtype
from cosgrad.torch._contrastive.ring import Ring
from cosgrad.torch._dtensor import gathered
from cosgrad.torch._operators import LIBRARY, OPERATORS, library
from cosgrad.torch._ops import OPS
from cosgrad.torch._rule import (
    Function,
    dissolves,
    intercepted,
    is_distributed,
    kept,
    recorded,
    traced,
    transformed,
    watched,
)

LIBRARY.define(
    "contrastive(Tensor x, Tensor? y, Tensor scale, Tensor? bias, Tensor? labels_x, Tensor? labels_y, "
    "Tensor? ignore, bool symmetric, bool need_x=False, bool need_y=False, bool need_scale=False, "
    "bool need_bias=False) -> (Tensor, Tensor, Tensor, Tensor, Tensor)"
)


def contrastive(
    x: Tensor, y: Tensor | None, scale: Tensor, bias: Tensor | None, options: Options, ring: Ring
) -> Tensor:
    """Return the loss in the dtype of x or of autocast, recorded by autograd and by active transforms.

    Args:
        x: Matrix of rows.
        y: Matrix of columns, or None for x itself.
        scale: Factor of the similarities, a tensor of rank 0.
        bias: Addend of the sigmoid loss, a tensor of rank 0. None means the softmax loss.
        options: The other options of the loss.
        ring: The ranks that share the batch.
    """
    dtype = loss_dtype(x.dtype, x.device.type)
    out: Tensor
    if ring.group is None:
        seen = traced() or intercepted()
        if transformed() and not seen:
            return _formula(x, y, scale, bias, options).to(dtype)
        if seen or watched(x, y, scale, bias, *options.tensors()):
            out, *_ = OPERATORS.contrastive(x, y, scale, bias, *options.arguments())
            return out.to(dtype)
    elif transformed() or traced():
        raise RuntimeError(
            "group= is not supported in torch.func, forward mode, torch.export or torch.jit.trace: call the "
            "loss outside, or without group="
        )
    if recorded(x, y, scale, bias):
        out = Tiled.apply(x, y, scale, bias, options, ring)
    else:
        out = _tiled(x, y, scale, bias, options, ring, Needs()).loss
    return out.to(dtype)


def _formula(x: Tensor, y: Tensor | None, scale: Tensor, bias: Tensor | None, options: Options) -> Tensor:
    if is_distributed(x):

        def whole(x: Tensor, y: Any, scale: Tensor, bias: Any, *masks: Any) -> Tensor:
            return _formula(x, y, scale, bias, Options(options.symmetric, y is None, *masks))

        loss: Tensor = gathered(whole, x, y, scale, bias, *options.arguments()[:3])
        return loss
    if bias is None or y is None:
        possible = (scale > 0) & (scale < math.inf)  # `scalar` checks values that it can read
        return dense.softmax(x, y, torch.where(possible, scale, math.nan), options)
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
    number = scale.item()
    if bias is None or y is None:
        if not 0 < number < math.inf:
            check_temperature(1 / number if number else math.inf)
        return softmax.loss(x, y, number, options, ring, needs)
    check_finite("scale", number)
    return sigmoid.loss(x, y, number, check_finite("bias", bias.item()), ring, needs)


class Tiled(Function):
    """The loss. The forward pass saves the derivatives."""

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
        """Return the loss. Save the needed derivatives, and the inputs for derivatives of second order."""
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
        """Multiply the derivatives by the cotangent, or differentiate the formula to get higher orders."""
        saved = ctx.saved_tensors  # each access runs the unpacking hooks, and a checkpoint permits one
        inputs, grads = [saved[0], saved[0] if ctx.y_is_x else saved[1], *saved[2:4]], saved[4:8]
        if torch.is_grad_enabled():
            return *_differentiable(ctx, inputs, saved[8:], g), None, None
        pairs = zip(inputs, grads, strict=True)
        return *(None if G is None else (g.to(G.dtype) * G).to(t.dtype) for t, G in pairs), None, None


def _keep(
    ctx: Any, result: Result, inputs: tuple[Tensor | None, ...], options: Options, ring: Ring
) -> Tensor:
    gx, gy, g_scale, g_bias = result.gx, result.gy, result.g_scale, result.g_bias
    if ring.averaged:
        gx, gy = (None if G is None else G.mul_(ring.ranks) for G in (gx, gy))
        g_scale, g_bias = (None if G is None else ring.sum(G) for G in (g_scale, g_bias))
    ctx.y_is_x = inputs[1] is inputs[0]
    x, y, *scalars = kept(*inputs)
    masks = options.labels_x, options.labels_y, options.ignore
    ctx.save_for_backward(x, None if ctx.y_is_x else y, *scalars, gx, gy, g_scale, g_bias, *kept(*masks))
    ctx.symmetric, ctx.group = options.symmetric, ring.group
    return result.loss


def _differentiable(ctx: Any, inputs: Any, masks: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    """Return the gradients as functions of the inputs.

    The formula is applied to aliases of the inputs. If y is a function of x, the gradient with respect to x
    itself would include the path through y.
    """
    if ctx.group is not None:
        raise RuntimeError(
            "a second derivative over a group is not supported: take the loss of one process, without group="
        )
    needs = ctx.needs_input_grad[:4]
    aliases: list[Any] = [None if t is None else t.view_as(t) for t in inputs]
    x, y, scale, bias = aliases
    wanted = [t for t, need in zip(aliases, needs, strict=True) if need]
    loss = _formula(x, y, scale, bias, Options(ctx.symmetric, y is None, *masks))
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
    """Return the loss and its derivatives. A derivative that is not needed is a tensor without elements."""
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
