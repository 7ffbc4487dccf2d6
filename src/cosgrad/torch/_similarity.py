"""The public functions `cosine_similarity`, `cosine_distance` and `normalize`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import (
    handle_torch_function,
    has_torch_function,
    has_torch_function_unary,
    has_torch_function_variadic,
)

from cosgrad import formulas
from cosgrad.closed import BOTH, DISTANCE, SIMILARITY, Rule
from cosgrad.spec import size
from cosgrad.torch import _closed, _native, _normalize, _rules
from cosgrad.torch._arguments import (
    FLOATS,
    FRONTEND,
    DimError,
    as_promoted,
    check_eps,
    check_tensor,
    pair,
    refuse_dtype,
    resolved,
)
from cosgrad.torch._autocast import for_rows
from cosgrad.torch._numbers import changing
from cosgrad.torch._operators import OPERATORS
from cosgrad.torch._ops import OPS
from cosgrad.torch._rule import fake_mode, plain, rule, traced, transformed


def cosine_similarity(
    x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8, *, keepdim: bool = False
) -> Tensor:
    r"""Return the cosine of the angle between vectors, S = <x1, x2> / (max(|x1|, eps) max(|x2|, eps)).

    It can replace `torch.nn.functional.cosine_similarity`. On the CPU its error is at most 0.501 units in the
    last place. S is never outside [-1, 1], and it is exactly 1 for a vector and itself.

    Args:
        x1: Tensor of any shape and strides, of dtype float16, bfloat16, float32 or float64.
        x2: Tensor that broadcasts with `x1`. The broadcast tensors are not materialised. Dtypes promote as in
            PyTorch. If one tensor has integers, the other must be floating.
        dim: Dimension of the vectors, counted in the broadcast shape.
        eps: Lower bound of each norm. If a norm is below eps, its factor is the constant eps, also in the
            derivative. With eps = 0 a zero vector has S = 0 and gradient 0. With eps > 0 the gradient of a
            zero vector is the unit vector of the other operand divided by eps.
        keepdim: Keep `dim` with length 1.

    Returns:
        Tensor of the broadcast shape without `dim`, of the promoted dtype. The result of a row with NaN or
        infinity is NaN.

    Raises:
        ValueError: eps is negative or NaN, the shapes do not broadcast, or the tensors are on two devices
            (also a `RuntimeError`); or dim is out of range (also an `IndexError`).
        TypeError: An argument is not a tensor, or is complex, or neither is floating (also a `RuntimeError`).

    Derivatives of every order are those of the formula, in forward and in reverse mode:
    dS/dx = y / (|x||y|) - S x / |x|^2.

    Example:
        >>> import torch
        >>> x = torch.tensor([[3.0, 4.0]], requires_grad=True)
        >>> S = cosine_similarity(x, torch.tensor([[4.0, 3.0]]))
        >>> S.detach()
        tensor([0.9600])
        >>> torch.autograd.grad(S.sum(), x)
        (tensor([[ 0.0448, -0.0336]]),)
    """
    if not torch.compiler.is_compiling() and has_torch_function_variadic(x1, x2):
        return overridden(cosine_similarity, (x1, x2), x1, x2, dim, eps, keepdim=keepdim)
    S: Tensor = cosine(SIMILARITY, ("x1", "x2"), x1, x2, dim, eps, keepdim)
    return S


def cosine_distance(
    x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8, *, keepdim: bool = False
) -> Tensor:
    r"""Return the cosine distance of vectors, D = 1 - S, with S as in `cosine_similarity`.

    On the CPU the error of D is at most 0.501 units in the last place, also if D is small. The subtraction
    1 - S would cancel there. Instead, D = <r, r> / (|x2|^2 (1 + S)) with the residual r of x2 along x1. D is
    exactly 0 for a vector and itself, and it is never outside [0, 2].

    Args:
        x1: Tensor of any shape and strides, of dtype float16, bfloat16, float32 or float64.
        x2: Tensor that broadcasts with `x1`.
        dim: Dimension of the vectors, counted in the broadcast shape.
        eps: Lower bound of each norm, as in `cosine_similarity`. A zero vector has D = 1.
        keepdim: Keep `dim` with length 1.

    Returns:
        Tensor of the broadcast shape without `dim`, of the promoted dtype. The result of a row with NaN or
        infinity is NaN.

    Raises:
        ValueError: For the same reasons as `cosine_similarity`.
        TypeError: For the same reasons as `cosine_similarity`.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 1.0]])
        >>> cosine_distance(x, 3 * x), cosine_distance(x, x + torch.tensor([[1e-5, 0.0]]))
        (tensor([0.]), tensor([1.2534e-11]))
    """
    if not torch.compiler.is_compiling() and has_torch_function_variadic(x1, x2):
        return overridden(cosine_distance, (x1, x2), x1, x2, dim, eps, keepdim=keepdim)
    D: Tensor = cosine(DISTANCE, ("x1", "x2"), x1, x2, dim, eps, keepdim)
    return D


def normalize(
    input: Tensor,  # noqa: A002 -- PyTorch's name of the argument
    p: float = 2.0,
    dim: int | Sequence[int] | None = 1,
    eps: float = 1e-12,
) -> Tensor:
    r"""Return the unit vectors x / max(|x|, eps).

    It can replace `torch.nn.functional.normalize`. On the CPU its error is at most 0.501 units in the last
    place. The sum of squares neither overflows nor underflows, however long or short the vectors are.

    Args:
        input: Tensor of any shape and strides, of dtype float16, bfloat16, float32 or float64.
        p: The order of the norm. It must be 2.
        dim: Dimension of the vectors. With several dimensions, the elements along all of them form one
            vector. None means all dimensions.
        eps: Lower bound of the norm. With eps = 0 a zero vector gives 0 with gradient 0. With eps > 0 a
            cotangent g of a zero vector gives the gradient g / eps.

    Returns:
        Tensor of the shape and dtype of the input.

    Raises:
        ValueError: p is not 2; eps is negative or NaN (also a `RuntimeError`); dim is out of range (also an
            `IndexError`) or is repeated.
        TypeError: The input is not a floating tensor (also a `RuntimeError`).

    Example:
        >>> import torch
        >>> normalize(torch.tensor([[3e30, 4e30], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    if not torch.compiler.is_compiling() and has_torch_function_unary(input):
        return overridden(normalize, (input,), input, p, dim, eps)
    if p != 2:
        raise ValueError(
            f"p={p} must be 2, the Euclidean norm; torch.nn.functional.normalize takes other norms"
        )
    check_tensor("input", input)
    if input.dtype not in FLOATS:
        raise refuse_dtype("input", input, "floating")
    input, eps = for_rows(resolved(input)), check_eps(eps)  # noqa: A001 -- as above
    if dim is None or isinstance(dim, Sequence):
        return _normalize_over(input, _check_axes(dim, input.dim()), eps)
    axis = FRONTEND.check_axis(dim, input.dim())
    x = input.unsqueeze(0) if input.dim() == 0 else input
    result = _unit(x, axis, eps)
    return result.squeeze(0) if input.dim() == 0 else result


def _check_axes(dim: Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """Return the axes as non-negative numbers. As in PyTorch, None and an empty sequence mean all axes."""
    if not dim:
        return tuple(range(rank))
    axes = tuple(FRONTEND.check_axis(d, rank) for d in dim)
    if len(set(axes)) < len(axes):
        raise DimError(f"dim={tuple(dim)} must name each dimension once")
    return axes[:rank]


def _normalize_over(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    """Return x divided by its norm over several axes. They are reshaped into one axis for the kernel."""
    last = tuple(range(x.dim() - len(axes), x.dim()))
    moved = x.movedim(axes, last)
    lead = x.dim() - len(axes)
    unit = _unit(moved.reshape(*moved.shape[:lead], size(moved.shape[lead:])), lead, eps)
    return unit.reshape(moved.shape).movedim(last, axes)


def _unit(x: Tensor, axis: int, eps: float) -> Tensor:
    """Return x divided by its norm along an axis."""
    result: Tensor
    if not traced():
        result = _normalize.normalize(x, axis, eps)
    elif x.is_cpu and not changing(eps):
        result = OPERATORS.normalize(x, axis, eps)
    else:
        result = formulas.normalize(OPS, x, axis, eps)
    return result


def cosine(
    what: str,
    names: tuple[str, str],
    x1: Tensor,
    x2: Tensor,
    dim: int,
    eps: float,
    keepdim: bool = False,
    skip_zero: bool = False,
) -> Any:
    """Return S, D or both of two tensors. Error messages call the tensors by `names`."""
    if (how := plain_rule(what, x1, x2, dim, eps, skip_zero)) is not None:
        record = torch.is_grad_enabled() and (x1.requires_grad or x2.requires_grad)
        out = (_rules.PlainCosine.apply if record else _native.cosine)(x1, x2, how)
        return out.unsqueeze(how.axis) if keepdim else out
    eps = check_eps(eps)
    x1, x2 = for_rows(x1), for_rows(x2)
    x, y, axis = pair(names, x1, x2, dim)
    if not traced():
        out = _rules.cosine(x, y, rule(axis, eps, what, skip_zero))
    elif x.is_cpu and not changing(eps):
        out = getattr(OPERATORS, what)(x, y, axis, eps, skip_zero)
    else:
        out = _closed.cosine(x, y, Rule(axis, eps, what, skip_zero))
    if x1.dtype is not x2.dtype:
        both = what == BOTH
        out = tuple(as_promoted(t, x1, x2) for t in out) if both else as_promoted(out, x1, x2)
    return out.unsqueeze(axis) if keepdim and (x1.dim() or x2.dim()) else out


def plain_rule(what: str, x: Tensor, y: Tensor, dim: int, eps: float, skip_zero: bool) -> Rule | None:
    """Return the rule of a simple call, or None if the call needs the full checks.

    A call is simple if it is eager, its tensors are plain and have the same dtype and shape, and its options
    are valid. This shortcut exists because the checks dominate the time of a call on a few numbers.
    """
    if torch.compiler.is_compiling() or not (isinstance(x, Tensor) and isinstance(y, Tensor)):
        return None
    if not plain(x, y) or transformed():
        return None
    dtype, shape, rank = x.dtype, x.shape, x.dim()
    if dtype is not y.dtype or dtype not in FLOATS or shape != y.shape:
        return None
    if type(dim) is not int or not -rank <= dim < rank or type(eps) is not float or not eps >= 0:
        return None
    return rule(dim % rank, eps, what, skip_zero)


def overrides(*arguments: object) -> bool:
    """Return whether `overridden` must handle a call with these arguments."""
    if torch.compiler.is_compiling():
        return False
    return has_torch_function(arguments) or fake_mode(*arguments) is not None


def overridden(function: Any, relevant: Any, *args: Any, **kwargs: Any) -> Tensor:
    """Call the overrides of tensor subclasses and function modes, or enter the mode of fake tensors.

    The mode is needed because PyTorch's operations of a tensor and a number fail on a fake tensor outside
    its mode.
    """
    mode = None if has_torch_function(relevant) else fake_mode(*relevant)
    if mode is not None:
        with mode:
            inside: Tensor = function(*args, **kwargs)
        return inside
    result: Tensor = handle_torch_function(function, relevant, *args, **kwargs)
    return result
