"""The cosine in PyTorch: similarity, distance and losses, with derivatives of every order.

On the CPU the native core computes values and first derivatives, on PyTorch's own threads. Everything else
(other devices, derivatives of order two and up, compiled transforms) uses plain PyTorch operations.
"""

from cosgrad.require import require as _require

# 2.6 is the first version whose operators accept the rules that are registered here.
_require("torch", "torch", "2.6")

from cosgrad.torch import _autograd as _autograd  # registers the derivatives of the operators
from cosgrad.torch import _dtensor, nn
from cosgrad.torch._contrastive.losses import contrastive_loss, nt_xent_loss, sigmoid_contrastive_loss
from cosgrad.torch._losses import cosine_distance_loss, cosine_embedding_loss
from cosgrad.torch._pairwise import pairwise_cosine_distance, pairwise_cosine_similarity
from cosgrad.torch._similarity import cosine_distance, cosine_similarity, normalize

_dtensor.install()

__all__ = [
    "contrastive_loss",
    "cosine_distance",
    "cosine_distance_loss",
    "cosine_embedding_loss",
    "cosine_similarity",
    "nn",
    "normalize",
    "nt_xent_loss",
    "pairwise_cosine_distance",
    "pairwise_cosine_similarity",
    "sigmoid_contrastive_loss",
]
