"""Helpers of the PyTorch tests: tensors from batches, functions under test, comparison with the oracle."""

from collections.abc import Callable

import held
import numpy as np
import torch
from torch import Tensor

import cosgrad.torch as C
from cosgrad.verify import inputs
from cosgrad.verify.bounds import Bound

DTYPES = {name: getattr(torch, name) for name in ("float16", "bfloat16", "float32", "float64")}


def tensor(a: np.ndarray, dtype: torch.dtype, *, grad: bool = False) -> Tensor:
    """Return a tensor of the dtype. The numbers are given in float64 and are exact in the dtype."""
    return torch.tensor(a).to(dtype).requires_grad_(grad)


def numbers(t: Tensor) -> np.ndarray:
    return t.detach().double().numpy().ravel()


def check(batch: inputs.Batch, got: Tensor, true: list, scale: list, bound: Bound) -> None:
    """Call `held.check` with a tensor."""
    held.check(batch, numbers(got), true, scale, bound)


def _loss(**options: object) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, y: C.cosine_distance_loss(x, y, **options)


WEIGHTS = torch.tensor([0.5, 2.0, 0.0, 1.0], dtype=torch.float64)
TARGET = torch.tensor([1, -1, -1, 1])

FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "similarity": lambda x, y: C.cosine_similarity(x, y),
    "similarity, eps in force": lambda x, y: C.cosine_similarity(x, y, eps=2.0),
    "distance": lambda x, y: C.cosine_distance(x, y, dim=-1, eps=0.0, keepdim=True),
    "normalize": lambda x, y: C.normalize(x, dim=0) * y,
    "mean loss": _loss(),
    "weighted loss": _loss(weights=WEIGHTS, reduction="weighted_mean"),
    "unreduced loss": _loss(weights=WEIGHTS, reduction="none"),
    "loss of unit vectors": _loss(assume_normalized=True, weights=WEIGHTS, reduction="nonzero_mean"),
    "embedding loss": lambda x, y: C.cosine_embedding_loss(x, y, TARGET, margin=-0.3, reduction="sum"),
}


def matrices(seed: int, dtype: torch.dtype = torch.float64, n: int = 5) -> tuple[Tensor, Tensor]:
    """Return two (4, n) tensors of normal random numbers."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, 4, n, dtype=torch.float64, generator=generator)
    return x.to(dtype), y.to(dtype)
