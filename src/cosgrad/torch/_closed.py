"""The closed forms on tensors: without the reduced axis, for S or D, and skipping excluded rows.

Everything is plain differentiable operations: this serves devices without a kernel, compiled transforms, and
derivatives of order two and up.
"""

from typing import Any

import torch
from torch import Tensor

from cosgrad import formulas
from cosgrad.torch._array import OPS
from cosgrad.torch._rule import BOTH, DISTANCE, Rule


def cosine(x: Tensor, y: Tensor, rule: Rule) -> Any:
    """Return S, D or both."""
    finite = None
    if rule.skip_zero:
        # Differentiating a row that is not finite gives 0 times NaN: take it out and put its NaN back as a
        # constant.
        fx, fy = formulas.finite(OPS, x, rule.axis), formulas.finite(OPS, y, rule.axis)
        x, y, finite = torch.where(fx, x, 0), torch.where(fy, y, 0), fx & fy
    S, D = formulas.similarity_and_distance(OPS, x, y, rule.axis, rule.eps)
    if finite is not None:
        S, D = torch.where(finite, S, float("nan")), torch.where(finite, D, float("nan"))
    S, D = S.squeeze(rule.axis), D.squeeze(rule.axis)
    return (S, D) if rule.what == BOTH else D if rule.what == DISTANCE else S


def gradient(x: Tensor, y: Tensor, g: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
    """Return g dS/dx and g dS/dy, or those of D."""
    g = _signed(g, rule)
    x, y, nan = _included(x, y, g, rule)
    gx, gy = formulas.gradient(OPS, x, y, g, rule.axis, rule.eps)
    return _poisoned(gx, nan), _poisoned(gy, nan)


def tangent(
    x: Tensor, y: Tensor, u: Tensor | None, v: Tensor | None, rule: Rule, g: Tensor | None = None
) -> Tensor:
    """Return the derivative of S or D along (u, v); g, where it is given, may exclude rows."""
    nan = None
    if g is not None:
        x, y, nan = _included(x, y, g.unsqueeze(rule.axis), rule)
    J = formulas.total_derivative(OPS, x, y, _or_zeros(u, x), _or_zeros(v, y), rule.axis, rule.eps)
    return _poisoned(-J if rule.negate else J, nan).squeeze(rule.axis)


def curvature(
    x: Tensor, y: Tensor, u: Tensor | None, v: Tensor | None, g: Tensor, rule: Rule
) -> tuple[Tensor, Tensor]:
    """Return the gradient of g times the tangent along (u, v): the product with the Hessian."""
    g = _signed(g, rule)
    x, y, nan = _included(x, y, g, rule)
    u, v = _or_zeros(u, x), _or_zeros(v, y)
    hx, hy = formulas.hessian_product(OPS, x, y, u, v, g, rule.axis, rule.eps)
    return _poisoned(hx, nan), _poisoned(hy, nan)


def _signed(g: Tensor, rule: Rule) -> Tensor:
    return (-g if rule.negate else g).unsqueeze(rule.axis)


def _included(x: Tensor, y: Tensor, g: Tensor, rule: Rule) -> tuple[Tensor, Tensor, Tensor | None]:
    return formulas.exclude(OPS, x, y, g, rule.axis) if rule.skip_zero else (x, y, None)


def _poisoned(t: Tensor, nan: Tensor | None) -> Tensor:
    return t if nan is None else t + formulas.unbroadcast(OPS, nan, t)


def _or_zeros(t: Tensor | None, like: Tensor) -> Tensor:
    return like.new_zeros(()).expand_as(like) if t is None else t
