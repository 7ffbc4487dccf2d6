"""Modules: what `cosgrad.torch` has as functions, with their options kept."""

import math

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import Module, Parameter

from cosgrad.spec import check_reduction
from cosgrad.torch._arguments import check_eps
from cosgrad.torch._contrastive.arguments import check_gradient_scale
from cosgrad.torch._contrastive.losses import contrastive_loss, sigmoid_contrastive_loss
from cosgrad.torch._losses import cosine_distance_loss, cosine_embedding_loss
from cosgrad.torch._rule import watched
from cosgrad.torch._similarity import cosine_similarity

__all__ = [
    "ContrastiveLoss",
    "CosineDistanceLoss",
    "CosineEmbeddingLoss",
    "CosineSimilarity",
    "SigmoidContrastiveLoss",
]


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


class ContrastiveLoss(Module):
    """InfoNCE with a temperature that may be learned, as `cosgrad.torch.contrastive_loss`.

    A learned temperature is kept by its logarithm, the parameter `log_temperature`, so that no step of an
    optimiser makes it negative; CLIP's `logit_scale` is minus that. It starts at `temperature` and is kept
    at `min_temperature` at least, with no gradient below.

    Args:
        temperature: The temperature, or where it starts.
        learnable: Learn the temperature.
        min_temperature: The least temperature that is used (CLIP's logits are scaled by 100 at most).
        symmetric: Take half of the loss of the rows and half of that of the columns.
        group: The ranks that share the batch.
        gradient_scale: "mean" for `DistributedDataParallel`, or "sum".

    Raises:
        ValueError: A temperature is not above 0 and finite, or the gradient scale is unknown.

    Example:
        >>> import torch
        >>> loss = ContrastiveLoss(learnable=True)
        >>> loss(torch.eye(2), torch.eye(2)).backward()
        >>> print(f"{loss.log_temperature.grad:.2e}")
        8.93e-06
    """

    def __init__(
        self,
        temperature: float = 0.07,
        *,
        learnable: bool = False,
        min_temperature: float = 0.01,
        symmetric: bool = True,
        group: dist.ProcessGroup | None = None,
        gradient_scale: str = "mean",
    ) -> None:
        super().__init__()
        for name, value in (("temperature", temperature), ("min_temperature", min_temperature)):
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name}={value} must be finite and above 0")
        self.symmetric = symmetric
        self.group = group
        self.gradient_scale = check_gradient_scale(gradient_scale)
        self.min_temperature = min_temperature
        self.fixed_temperature = temperature
        self.log_temperature = Parameter(torch.tensor(math.log(temperature))) if learnable else None

    @property
    def temperature(self) -> float | Tensor:
        """The temperature in force."""
        if self.log_temperature is None:
            return self.fixed_temperature
        return self.log_temperature.exp().clamp(min=self.min_temperature)

    def forward(
        self,
        x: Tensor,
        y: Tensor,
        *,
        labels_x: Tensor | None = None,
        labels_y: Tensor | None = None,
        ignore: Tensor | None = None,
    ) -> Tensor:
        """Return the loss."""
        return contrastive_loss(
            x,
            y,
            labels_x=labels_x,
            labels_y=labels_y,
            ignore=ignore,
            temperature=self.temperature,
            symmetric=self.symmetric,
            group=self.group,
            gradient_scale=self.gradient_scale,
        )

    def extra_repr(self) -> str:
        """Return the options."""
        learnable = self.log_temperature is not None
        temperature = _shown(self.temperature)
        return f"temperature={temperature}, learnable={learnable}, symmetric={self.symmetric}"


class SigmoidContrastiveLoss(Module):
    """SigLIP's loss with a scale and a bias that may be learned, as `cosgrad.torch.sigmoid_contrastive_loss`.

    A learned scale is kept by its logarithm, the parameter `log_scale`.

    Args:
        scale: The scale, above 0, or where it starts.
        bias: The bias, or where it starts.
        learnable: Learn both.
        group: The ranks that share the batch.
        gradient_scale: "mean" for `DistributedDataParallel`, or "sum".

    Raises:
        ValueError: The scale is not above 0 and finite, the bias is not finite, or the gradient scale is
            unknown.

    Example:
        >>> import torch
        >>> SigmoidContrastiveLoss()(torch.eye(2), torch.eye(2))
        tensor(0.6932)
    """

    def __init__(
        self,
        scale: float = 10.0,
        bias: float = -10.0,
        *,
        learnable: bool = False,
        group: dist.ProcessGroup | None = None,
        gradient_scale: str = "mean",
    ) -> None:
        super().__init__()
        if not (scale > 0 and math.isfinite(scale)):
            raise ValueError(f"scale={scale} must be finite and above 0")
        if not math.isfinite(bias):
            raise ValueError(f"bias={bias} must be finite")
        self.group = group
        self.gradient_scale = check_gradient_scale(gradient_scale)
        self.fixed_scale = scale
        self.log_scale = Parameter(torch.tensor(math.log(scale))) if learnable else None
        self.bias: float | Parameter = Parameter(torch.tensor(float(bias))) if learnable else bias

    @property
    def scale(self) -> float | Tensor:
        """The scale in force."""
        return self.fixed_scale if self.log_scale is None else self.log_scale.exp()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss."""
        return sigmoid_contrastive_loss(
            x, y, scale=self.scale, bias=self.bias, group=self.group, gradient_scale=self.gradient_scale
        )

    def extra_repr(self) -> str:
        """Return the options."""
        learnable = self.log_scale is not None
        return f"scale={_shown(self.scale)}, bias={_shown(self.bias)}, learnable={learnable}"


def _shown(value: float | Tensor) -> str:
    """Return the value for `extra_repr`, or where it is if it cannot be read (meta and fake tensors)."""
    if isinstance(value, Tensor) and watched(value):
        return f"<on {value.device}>"
    return f"{float(value):.4g}"
