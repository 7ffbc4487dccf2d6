"""The matrices of all similarities or distances of two sets of rows: matrix products of unit vectors."""

from typing import Any

import torch
from torch import Tensor

from cosgrad.torch._arguments import FRONTEND, as_promoted, check_device, promote
from cosgrad.torch._autocast import for_rows
from cosgrad.torch._ops import served_by_onnx
from cosgrad.torch._rule import Function, plain, traced, transformed, without_autocast
from cosgrad.torch._similarity import normalize, overridden, overrides


def pairwise_cosine_similarity(x: Tensor, y: Tensor | None = None) -> Tensor:
    r"""Return the matrix of the cosine similarities of all rows of x with all rows of y.

    Every row is divided by its exact norm, and PyTorch multiplies the matrices of unit vectors. So the error
    of an element is that of PyTorch's matrix product: about D units in the last place. Every element is
    within [-1, 1]. If y is x or not given, the diagonal is exactly 1.

    Args:
        x: Tensor (..., N, D) of float16, bfloat16, float32 or float64.
        y: Tensor (..., M, D) whose batch axes broadcast with those of x. If not given, y is x.

    Returns:
        Tensor (..., N, M) of the promoted dtype. A zero row has similarity 0 with every row, also with
        itself. The results of a row with NaN or infinity are NaN.

    Raises:
        ValueError: x or y has fewer than two axes, or the shapes do not fit.
        TypeError: An argument is not a tensor, or is complex, or neither is floating (also a `RuntimeError`).

    Example:
        >>> import torch
        >>> pairwise_cosine_similarity(torch.tensor([[3.0, 4.0], [4.0, 3.0]]))
        tensor([[1.0000, 0.9600],
                [0.9600, 1.0000]])
    """
    if overrides(x, y):
        return overridden(pairwise_cosine_similarity, (x, y), x, y)
    return _promoted(x, y, distance=False)


def pairwise_cosine_distance(x: Tensor, y: Tensor | None = None) -> Tensor:
    r"""Return the matrix of the cosine distances D = 1 - S of all rows of x with all rows of y.

    Every element is within [0, 2]. If y is x or not given, the diagonal is exactly 0. As in
    `pairwise_cosine_similarity`, the matrix product rounds: distances much smaller than 1 lose digits.
    `cosine_distance` keeps all digits.

    Args:
        x: As in `pairwise_cosine_similarity`.
        y: As in `pairwise_cosine_similarity`.

    Returns:
        Tensor (..., N, M). A zero row has distance 1 from every row.

    Raises:
        ValueError: For the same reasons as `pairwise_cosine_similarity`.
        TypeError: For the same reasons as `pairwise_cosine_similarity`.

    Example:
        >>> import torch
        >>> pairwise_cosine_distance(torch.eye(2), torch.tensor([[0.0, 2.0], [-1.0, 0.0]]))
        tensor([[1., 2.],
                [0., 1.]])
    """
    if overrides(x, y):
        return overridden(pairwise_cosine_distance, (x, y), x, y)
    return _promoted(x, y, distance=True)


def _promoted(x: Tensor, y: Tensor | None, *, distance: bool) -> Tensor:
    S = _matrix(x, y, distance=distance)
    return S if y is None or x.dtype is y.dtype else as_promoted(S, for_rows(x), for_rows(y))


def _matrix(x: Tensor, y: Tensor | None, *, distance: bool) -> Tensor:
    one = y is None or y is x
    x, y = for_rows(x), None if one else for_rows(y)
    a, b = promote(("x", "y"), x, x if y is None else y)
    FRONTEND.check_matrices(tuple(a.shape), tuple(b.shape))
    check_device(("x", "y"), a, b)
    u = normalize(a, dim=-1, eps=0.0)
    v = u if one else normalize(b, dim=-1, eps=0.0)
    own = one or _same_view(a, b)
    u, v = served_by_onnx(u), served_by_onnx(v)
    # We negate the vectors, not the matrix, because a second matrix would need as much memory again.
    u = -u if distance else u
    with without_autocast(a.device):
        P = torch.matmul(u, v.mT)
    if not traced() and plain(P) and not transformed():
        result: Tensor = _Within.apply(P, distance, own)
        return result
    return (P + (_within(P.detach(), distance, own) - P.detach())).to(a.dtype)


def _same_view(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors are the same elements in the same order, in the same memory.

    They may be in different autograd graphs, as x and `x.detach()` are. The result is False for tensors
    without plain memory.
    """
    if traced() or transformed() or not plain(a, b):
        return False
    return (
        a.data_ptr() == b.data_ptr()
        and a.dtype is b.dtype
        and a.shape == b.shape
        and a.stride() == b.stride()
    )


class _Within(Function):
    """The function `_within`, in place, with the derivative of the identity.

    This derivative is right because the function adds only constants: 1, and a correction that is smaller
    than the rounding error of P.
    """

    @staticmethod
    def forward(ctx: Any, P: Tensor, distance: bool, own: bool) -> Tensor:
        """Correct P itself."""
        ctx.mark_dirty(P)
        if distance:
            P.add_(1)
        P.clamp_(*_range(distance))
        if own:
            diagonal = P.diagonal(dim1=-2, dim2=-1)
            diagonal.copy_(_own(diagonal, distance))
        return P

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """Return the cotangent unchanged."""
        return g, None, None


def _within(P: Tensor, distance: bool, own: bool) -> Tensor:
    """Return P, or 1 + P for the distance, clamped to the range, with an exact diagonal if `own`."""
    P = (1 + P if distance else P).clamp(*_range(distance))
    if not own:
        return P
    itself = torch.ones_like(P, dtype=torch.bool).tril().triu()
    return torch.where(itself, _own(P, distance), P)


def _range(distance: bool) -> tuple[float, float]:
    return (0.0, 2.0) if distance else (-1.0, 1.0)


def _own(t: Tensor, distance: bool) -> Tensor:
    """Return the exact value of a row with itself. Values of zero and non-finite rows are unchanged."""
    exact = 0.0 if distance else 1.0
    return torch.where((t - exact).abs() < 0.5, exact, t)
