"""Modules that store the options of the functions in `cosgrad.torch`."""

import math

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import Module, Parameter

from cosgrad.spec import check_reduction
from cosgrad.torch._arguments import check_eps
from cosgrad.torch._contrastive.arguments import check_gradient_scale
from cosgrad.torch._contrastive.losses import contrastive_loss, sigmoid_contrastive_loss
from cosgrad.torch._grouped import GroupModule
from cosgrad.torch._learnable import ScalarModule, exp, number, parameter, shown
from cosgrad.torch._losses import cosine_distance_loss, cosine_embedding_loss
from cosgrad.torch._similarity import cosine_similarity

__all__ = [
    "ContrastiveLoss",
    "CosineDistanceLoss",
    "CosineEmbeddingLoss",
    "CosineSimilarity",
    "SigmoidContrastiveLoss",
]


class CosineSimilarity(Module):
    """The similarity of two tensors along a dimension. See `cosgrad.torch.cosine_similarity`.

    Args:
        dim: Dimension of the vectors.
        eps: Lower bound of each norm.

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
    """The mean distance of labels and predictions. See `cosgrad.torch.cosine_distance_loss`.

    Args:
        dim: Dimension of the vectors.
        reduction: "none", "sum", "mean", "weighted_mean" or "nonzero_mean".
        assume_normalized: Assume that the vectors have unit length. The module does not check this.

    Raises:
        ValueError: The reduction is unknown.

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
    """The loss of similar (+1) and dissimilar (-1) pairs. See `cosgrad.torch.cosine_embedding_loss`.

    Args:
        margin: A pair with target -1 has loss 0 if its similarity is at most the margin.
        reduction: "none", "sum", "mean", "weighted_mean" or "nonzero_mean".

    Raises:
        ValueError: The reduction is unknown.

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

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        return cosine_embedding_loss(input1, input2, target, margin=self.margin, reduction=self.reduction)

    def extra_repr(self) -> str:
        """Return the options."""
        return f"margin={self.margin}, reduction={self.reduction!r}"


class ContrastiveLoss(GroupModule, ScalarModule):
    """The InfoNCE loss, with a fixed or a learned temperature. See `cosgrad.torch.contrastive_loss`.

    The module learns the logarithm of the temperature, so that no step of an optimiser can make the
    temperature negative. The parameter is `log_temperature`, of shape (1,). CLIP's `logit_scale` is its
    negative. The initial temperature is `temperature`. The loss never uses a temperature below
    `min_temperature`. At this bound, a gradient that raises the temperature is kept, and a gradient that
    lowers it is replaced by 0. The module also loads state dicts of older versions, whose parameter has
    shape ().

    A deep copy of the module holds the same group. A pickle (`torch.save`) holds the name and the ranks of
    the group, and the loaded module looks for that group at its first use.

    Args:
        temperature: The temperature, or its initial value.
        learnable: Learn the temperature.
        min_temperature: The lowest learned temperature that the loss uses. The default is 0.01, or
            `temperature` if that is lower. At 0.01 the logits are scaled by 100, which is CLIP's maximum.
        symmetric: Use the mean of the loss of the rows and the loss of the columns.
        group: The ranks that share the batch. It can be assigned later.
        gradient_scale: "mean" for `DistributedDataParallel`, or "sum".

    Raises:
        ValueError: A temperature is not above 0 and finite, a learned temperature starts below
            `min_temperature`, or the gradient scale is unknown.

    Example:
        >>> import torch
        >>> loss = ContrastiveLoss(learnable=True)
        >>> loss(torch.eye(2), torch.eye(2)).backward()
        >>> print(f"{loss.log_temperature.grad.item():.2e}")
        8.93e-06
    """

    def __init__(
        self,
        temperature: float = 0.07,
        *,
        learnable: bool = False,
        min_temperature: float | None = None,
        symmetric: bool = True,
        group: dist.ProcessGroup | None = None,
        gradient_scale: str = "mean",
    ) -> None:
        super().__init__(group)
        if min_temperature is None:
            min_temperature = min(0.01, temperature)
        for name, value in (("temperature", temperature), ("min_temperature", min_temperature)):
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name}={value} must be finite and above 0")
        least = torch.finfo(torch.get_default_dtype()).tiny
        if learnable and min_temperature < least:
            raise ValueError(
                f"min_temperature={min_temperature} must be at least {least:.2g} with learnable=True: a "
                f"smaller number does not fit in the parameter of dtype {torch.get_default_dtype()}"
            )
        if learnable and temperature < min_temperature:
            raise ValueError(
                f"temperature={temperature} must be at least min_temperature={min_temperature} with "
                "learnable=True: set a lower min_temperature to start there"
            )
        self.symmetric = symmetric
        self.gradient_scale = check_gradient_scale(gradient_scale)
        self.min_temperature = min_temperature
        self.fixed_temperature = temperature
        self.log_temperature = parameter(math.log(temperature)) if learnable else None

    @property
    def temperature(self) -> float | Tensor:
        """The temperature that the loss uses: a number, or a differentiable tensor of shape () if learned.

        The tensor is float32 if the parameter has a half type. If FSDP has sharded the module, read the
        temperature in the forward pass. Outside the forward pass FSDP2 gathers the parameter, so all ranks
        have to read it.
        """
        if self.log_temperature is None:
            return self.fixed_temperature
        return exp(self.log_temperature, self.min_temperature)

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
        temperature = _shown_exp(self.log_temperature, self.fixed_temperature, self.min_temperature)
        return f"temperature={temperature}, learnable={learnable}, symmetric={self.symmetric}"


class SigmoidContrastiveLoss(GroupModule, ScalarModule):
    """SigLIP's loss, with fixed or learned scale and bias. See `cosgrad.torch.sigmoid_contrastive_loss`.

    The module learns the logarithm of the scale, the parameter `log_scale`, and the bias, the parameter
    `bias`. Both have shape (1,). The module also loads state dicts of older versions, whose parameters have
    shape (). If the scale overflows, the loss uses the largest finite number, and a gradient that lowers the
    scale is kept. Copies and pickles treat the group as those of `ContrastiveLoss` do.

    Args:
        scale: The scale, above 0, or its initial value.
        bias: The bias, or its initial value.
        learnable: Learn both.
        group: The ranks that share the batch. It can be assigned later.
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
        super().__init__(group)
        if not (scale > 0 and math.isfinite(scale)):
            raise ValueError(f"scale={scale} must be finite and above 0")
        if not math.isfinite(bias):
            raise ValueError(f"bias={bias} must be finite")
        self.gradient_scale = check_gradient_scale(gradient_scale)
        self.fixed_scale = scale
        self.log_scale = parameter(math.log(scale)) if learnable else None
        self.bias: float | Parameter = parameter(bias) if learnable else bias

    @property
    def scale(self) -> float | Tensor:
        """The scale that the loss uses: a number, or a differentiable tensor of shape () if learned."""
        return self.fixed_scale if self.log_scale is None else exp(self.log_scale)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss."""
        return sigmoid_contrastive_loss(
            x,
            y,
            scale=self.scale,
            bias=number(self.bias),
            group=self.group,
            gradient_scale=self.gradient_scale,
        )

    def extra_repr(self) -> str:
        """Return the options."""
        learnable = self.log_scale is not None
        scale = _shown_exp(self.log_scale, self.fixed_scale)
        return f"scale={scale}, bias={shown(self.bias)}, learnable={learnable}"


def _shown_exp(logarithm: Tensor | None, fixed: float, least: float = 0.0) -> str:
    if logarithm is None:
        return shown(fixed)
    with torch.no_grad():
        return shown(logarithm) if shown(logarithm) == "?" else shown(exp(logarithm, least))
