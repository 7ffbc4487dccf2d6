"""The autograd and `vmap` registrations of the operators: the functions of `_rules`, or the closed forms.

`torch.compile` traces the public functions as calls of operators, and it differentiates these operators.
Under a `torch.func` transform or in forward mode, an operator would need rules that `torch.library` does not
accept: without a rule for forward mode, a compiled `torch.func.jvp` returns zeros. So an operator is replaced
by plain operations there.
"""

from typing import Any

import torch
from torch import Tensor

from cosgrad import formulas
from cosgrad.closed import BOTH, DISTANCE, SIMILARITY, Rule
from cosgrad.torch import _closed
from cosgrad.torch._normalize import Normalize, NormalizeGradient
from cosgrad.torch._operators import LIBRARY, OPERATORS, wanted
from cosgrad.torch._ops import OPS
from cosgrad.torch._rule import dissolves, recorded
from cosgrad.torch._rules import Cosine, Gradient, front


def _below(name: str, *arguments: Any) -> Any:
    with torch._C._AutoDispatchBelowAutograd():
        return getattr(OPERATORS, name)(*arguments)


def _register_cosine(what: str) -> None:
    def autograd(x: Tensor, y: Tensor, axis: int, eps: float, skip_zero: bool = False) -> Any:
        rule = Rule(axis, eps, what, skip_zero)
        if dissolves(x, y):
            return _closed.cosine(x, y, rule)
        if recorded(x, y):
            return Cosine.apply(x, y, rule)
        return _below(what, x, y, axis, eps, skip_zero)

    def vmap(
        info: Any, in_dims: Any, x: Tensor, y: Tensor, axis: int, eps: float, skip_zero: bool = False
    ) -> Any:
        op = getattr(OPERATORS, what)
        out = op(front(x, in_dims[0]), front(y, in_dims[1]), axis + 1, eps, skip_zero)
        return out, (0, 0) if what == BOTH else 0

    _register(what, autograd, vmap)


def _register(name: str, autograd: Any, vmap: Any) -> None:
    LIBRARY.impl(name, autograd, "Autograd")
    torch.library.register_vmap(f"cosgrad::{name}", vmap, lib=LIBRARY)


def _gradient(
    x: Tensor,
    y: Tensor,
    grad: Tensor,
    axis: int,
    eps: float,
    what: str,
    skip_zero: bool = False,
    need_x: bool = True,
    need_y: bool = True,
) -> list[Tensor]:
    rule = Rule(axis, eps, what, skip_zero)
    if dissolves(x, y, grad):
        return wanted(_closed.gradient(x, y, grad, rule), need_x, need_y)
    if recorded(x, y, grad):
        return list(Gradient.apply(x, y, grad, rule, need_x, need_y))
    results: list[Tensor] = _below("gradient", x, y, grad, axis, eps, what, skip_zero, need_x, need_y)
    return results


def _gradient_vmap(
    info: Any,
    in_dims: Any,
    x: Tensor,
    y: Tensor,
    grad: Tensor,
    axis: int,
    *rest: Any,
) -> Any:
    x, y, grad = (front(t, dim, info.batch_size) for t, dim in zip((x, y, grad), in_dims, strict=False))
    results = OPERATORS.gradient(x, y, grad, axis + 1, *rest)
    return results, [0] * len(results)


def _normalize(x: Tensor, axis: int, eps: float) -> Any:
    if dissolves(x):
        return formulas.normalize(OPS, x, axis, eps)
    return Normalize.apply(x, axis, eps) if recorded(x) else _below("normalize", x, axis, eps)


def _normalize_vmap(info: Any, in_dims: Any, x: Tensor, axis: int, eps: float) -> Any:
    return OPERATORS.normalize(front(x, in_dims[0]), axis + 1, eps), 0


def _normalize_gradient(x: Tensor, grad: Tensor, axis: int, eps: float) -> Any:
    if dissolves(x, grad):
        return formulas.normalize_gradient(OPS, x, grad, axis, eps)
    if recorded(x, grad):
        return NormalizeGradient.apply(x, grad, axis, eps)
    return _below("normalize_gradient", x, grad, axis, eps)


def _normalize_gradient_vmap(info: Any, in_dims: Any, x: Tensor, grad: Tensor, axis: int, eps: float) -> Any:
    x, grad = front(x, in_dims[0], info.batch_size), front(grad, in_dims[1], info.batch_size)
    return OPERATORS.normalize_gradient(x, grad, axis + 1, eps), 0


for _what in (SIMILARITY, DISTANCE, BOTH):
    _register_cosine(_what)
_register("gradient", _gradient, _gradient_vmap)
_register("normalize", _normalize, _normalize_vmap)
_register("normalize_gradient", _normalize_gradient, _normalize_gradient_vmap)
