"""Modules: what `cosgrad.torch` has as functions, with their options kept."""

from torch import Tensor
from torch.nn import Module

from cosgrad.spec import check_eps, check_reduction
from cosgrad.torch._losses import cosine_distance_loss, cosine_embedding_loss
from cosgrad.torch._similarity import cosine_similarity

__all__ = ["CosineDistanceLoss", "CosineEmbeddingLoss", "CosineSimilarity"]


class CosineSimilarity(Module):
    """The similarity of two tensors along a dimension, as `cosgrad.torch.cosine_similarity`.

    Args:
        dim: Dimension of the vectors.
        eps: Floor of each norm.

    Raises:
        ValueError: eps is negative or NaN.

    Example:
        >>> import torch
        >>> CosineSimilarity(dim=0)(torch.tensor([3.0, 4.0]), torch.tensor([4.0, 3.0]))
        tensor(0.9600)
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = check_eps(eps)

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Return S."""
        return cosine_similarity(x1, x2, self.dim, self.eps)

    def extra_repr(self) -> str:
        """Return the options."""
        return f"dim={self.dim}, eps={self.eps}"


class CosineDistanceLoss(Module):
    """The mean distance of labels and predictions, as `cosgrad.torch.cosine_distance_loss`.

    Args:
        dim: Dimension of the vectors.
        reduction: "none", "sum", "mean", "weighted_mean" or "nonzero_mean".
        assume_normalized: Take the vectors for unit vectors without a look.

    Raises:
        ValueError: The reduction is none of these.

    Example:
        >>> import torch
        >>> CosineDistanceLoss()(torch.tensor([[3.0, 4.0]]), torch.tensor([[4.0, 3.0]]))
        tensor(0.0400)
    """

    def __init__(self, *, dim: int = -1, reduction: str = "mean", assume_normalized: bool = False) -> None:
        super().__init__()
        self.dim = dim
        self.reduction = check_reduction(reduction)
        self.assume_normalized = assume_normalized

    def forward(self, labels: Tensor, predictions: Tensor, weights: Tensor | float | None = None) -> Tensor:
        """Return the loss."""
        return cosine_distance_loss(
            labels,
            predictions,
            dim=self.dim,
            weights=weights,
            reduction=self.reduction,
            assume_normalized=self.assume_normalized,
        )

    def extra_repr(self) -> str:
        """Return the options."""
        return f"dim={self.dim}, reduction={self.reduction!r}, assume_normalized={self.assume_normalized}"


class CosineEmbeddingLoss(Module):
    """The loss of pairs that belong together (+1) or apart (-1), as `cosgrad.torch.cosine_embedding_loss`.

    Args:
        margin: Similarity up to which a pair with target -1 costs nothing.
        reduction: "none", "sum", "mean", "weighted_mean" or "nonzero_mean".

    Raises:
        ValueError: The reduction is none of these.

    Example:
        >>> import torch
        >>> x1, x2 = torch.tensor([[3.0, 4.0]]), torch.tensor([[4.0, 3.0]])
        >>> CosineEmbeddingLoss(margin=0.5)(x1, x2, torch.tensor([-1]))
        tensor(0.4600)
    """

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        super().__init__()
        self.margin = margin
        self.reduction = check_reduction(reduction)

    def forward(self, x1: Tensor, x2: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return cosine_embedding_loss(x1, x2, target, margin=self.margin, reduction=self.reduction)

    def extra_repr(self) -> str:
        """Return the options."""
        return f"margin={self.margin}, reduction={self.reduction!r}"
