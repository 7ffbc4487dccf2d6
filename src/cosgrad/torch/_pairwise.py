"""The matrix of all similarities, by the matrix product of unit vectors."""

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

    Every row is divided by its exact norm, and the matrix product does the rest, so an element is as right as
    PyTorch's makes it: within some D units in the last place. It is within [-1, 1] all the same. If y is
    x or not given, the diagonal is exactly 1.

    Args:
        x: Tensor (..., N, D) of float16, bfloat16, float32 or float64.
        y: Tensor (..., M, D) whose batch axes broadcast with those of x; x itself if not given.

    Returns:
        Tensor (..., N, M) of the promoted dtype. A zero row has similarity 0 with every row, its own
        too; a row with NaN or infinity is NaN.

    Raises:
        ValueError: x or y has fewer than two axes, or shapes do not fit.
        TypeError: An argument is no tensor, or complex, or neither is floating (also a `RuntimeError`).

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

    As `pairwise_cosine_similarity`, within [0, 2]; if y is x or not given, the diagonal is exactly 0.
    Distances much smaller than 1 have lost digits in the matrix product; `cosine_distance` has them all.

    Args:
        x: As in `pairwise_cosine_similarity`.
        y: As in `pairwise_cosine_similarity`.

    Returns:
        Tensor (..., N, M). A zero row has distance 1 from every row.

    Raises:
        ValueError: As `pairwise_cosine_similarity`.
        TypeError: As `pairwise_cosine_similarity`.

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
    # The sign goes on the vectors, not on the matrix, of which there is to be only one.
    u = -u if distance else u
    with without_autocast(a.device):
        P = torch.matmul(u, v.mT)
    if not traced() and plain(P) and not transformed():
        result: Tensor = _Within.apply(P, distance, own)
        return result
    return (P + (_within(P.detach(), distance, own) - P.detach())).to(a.dtype)


def _same_view(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors are the same elements in the same order, in the same memory.

    They may have two graphs, as x and `x.detach()` have. Tensors without plain memory are never the same.
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
    """`_within` in place. To a derivative it adds a constant: 1, and less than the rounding of P."""

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
        """Pass it on."""
        return g, None, None


def _within(P: Tensor, distance: bool, own: bool) -> Tensor:
    """Return P, or 1 + P for the distance, in range, and exact where a row meets itself."""
    P = (1 + P if distance else P).clamp(*_range(distance))
    if not own:
        return P
    itself = torch.ones_like(P, dtype=torch.bool).tril().triu()
    return torch.where(itself, _own(P, distance), P)


def _range(distance: bool) -> tuple[float, float]:
    return (0.0, 2.0) if distance else (-1.0, 1.0)


def _own(t: Tensor, distance: bool) -> Tensor:
    """Return what a row has with itself: a zero row and one that is not finite are as they are."""
    exact = 0.0 if distance else 1.0
    return torch.where((t - exact).abs() < 0.5, exact, t)
