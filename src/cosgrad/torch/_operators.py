"""The low-level operators, in the namespace `cosgrad` of `torch.ops`.

    similarity, distance, similarity_and_distance(x, y, axis, eps, skip_zero)
    gradient(x, y, grad, axis, eps, what, skip_zero, need_x, need_y)      the needed gradients, as a list
    normalize(x, axis, eps)    normalize_gradient(x, grad, axis, eps)

x and y have the same dtype and rank, and the same length along `axis`, which is not negative. The other axes
broadcast. The CPU implementation is the native core, and other devices use the closed forms. The operators
have the same derivatives as the public functions (see `_rules`). Under a `torch.func` transform or in forward
mode, an operator is replaced by its closed form, which every transform supports.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from cosgrad import formulas
from cosgrad.closed import BOTH, DISTANCE, SIMILARITY, Rule
from cosgrad.torch import _closed, _native
from cosgrad.torch._ops import OPS

library: Any = torch.library  # has no type annotations
LIBRARY = library.Library("cosgrad", "DEF")
OPERATORS = torch.ops.cosgrad

for _what in (SIMILARITY, DISTANCE, BOTH):
    _results = "(Tensor, Tensor)" if _what == BOTH else "Tensor"
    LIBRARY.define(f"{_what}(Tensor x, Tensor y, int axis, float eps, bool skip_zero=False) -> {_results}")
LIBRARY.define(
    "gradient(Tensor x, Tensor y, Tensor grad, int axis, float eps, str what, bool skip_zero=False, "
    "bool need_x=True, bool need_y=True) -> Tensor[]"
)
LIBRARY.define("normalize(Tensor x, int axis, float eps) -> Tensor")
LIBRARY.define("normalize_gradient(Tensor x, Tensor grad, int axis, float eps) -> Tensor")


def _register_cosine(what: str) -> None:
    def cpu(x: Tensor, y: Tensor, axis: int, eps: float, skip_zero: bool = False) -> Any:
        _native.check_memory(x, y)
        return _native.cosine(x, y, Rule(axis, eps, what))

    def closed(x: Tensor, y: Tensor, axis: int, eps: float, skip_zero: bool = False) -> Any:
        return _closed.cosine(x, y, Rule(axis, eps, what))

    def fake(x: Tensor, y: Tensor, axis: int, eps: float, skip_zero: bool = False) -> Any:
        shape = _native.batch_shape(x, y, axis)
        return (x.new_empty(shape), x.new_empty(shape)) if what == BOTH else x.new_empty(shape)

    _register(what, cpu, closed, fake)


def _gradient_cpu(
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
    _native.check_memory(x, y, grad)
    pair = _native.gradient(x, y, grad, Rule(axis, eps, what, skip_zero), need_x, need_y)
    return [t for t in pair if t is not None]


def _gradient_closed(
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
    return wanted(_closed.gradient(x, y, grad, Rule(axis, eps, what, skip_zero)), need_x, need_y)


def _gradient_fake(
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
    Rule(axis, eps, what, skip_zero)  # raises an error for an unknown quantity during tracing
    return wanted((torch.empty_like(x), torch.empty_like(y)), need_x, need_y)


def wanted(pair: tuple[Tensor, Tensor], need_x: bool, need_y: bool) -> list[Tensor]:
    """Return the needed tensors of a pair as a list."""
    return [t for t, need in zip(pair, (need_x, need_y), strict=True) if need]


def unpack(results: Sequence[Tensor], need_x: bool, need_y: bool) -> tuple[Tensor | None, Tensor | None]:
    """Return the pair of a list that `wanted` returned, with None for a tensor that is not needed."""
    left = iter(results)
    return next(left) if need_x else None, next(left) if need_y else None


def _register(
    name: str, cpu: Callable[..., Any], closed: Callable[..., Any], fake: Callable[..., Any]
) -> None:
    LIBRARY.impl(name, cpu, "CPU")
    LIBRARY.impl(name, closed, "CompositeExplicitAutograd")
    library.register_fake(f"cosgrad::{name}", fake, lib=LIBRARY)


def _normalize_cpu(x: Tensor, axis: int, eps: float) -> Tensor:
    _native.check_memory(x)
    return _native.normalize(x, axis, eps)


def _normalize_gradient_cpu(x: Tensor, grad: Tensor, axis: int, eps: float) -> Tensor:
    _native.check_memory(x, grad)
    return _native.normalize_gradient(x, grad, axis, eps)


for _what in (SIMILARITY, DISTANCE, BOTH):
    _register_cosine(_what)
_register("gradient", _gradient_cpu, _gradient_closed, _gradient_fake)
_register(
    "normalize",
    _normalize_cpu,
    lambda x, axis, eps: formulas.normalize(OPS, x, axis, eps),
    lambda x, *_: torch.empty_like(x),
)
_register(
    "normalize_gradient",
    _normalize_gradient_cpu,
    lambda x, grad, axis, eps: formulas.normalize_gradient(OPS, x, grad, axis, eps),
    lambda x, *_: torch.empty_like(x),
)
