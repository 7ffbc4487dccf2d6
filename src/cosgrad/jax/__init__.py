"""Cosine similarity, distance and losses for JAX, with derivatives of every order.

On the CPU, the native core computes values and first derivatives on XLA's threads. Other platforms, and
derivatives of order two and higher, use JAX operations.
"""

from cosgrad.require import require as _require

# JAX 0.8 is the first version whose partitioning rules can exclude axes from sharding.
_require("jax", "jax", "0.8")

from cosgrad.jax._contrastive import contrastive_loss, nt_xent_loss, sigmoid_contrastive_loss
from cosgrad.jax._losses import cosine_distance_loss, cosine_embedding_loss
from cosgrad.jax._pairwise import pairwise_cosine_distance, pairwise_cosine_similarity
from cosgrad.jax._similarity import cosine_distance, cosine_similarity, normalize

__all__ = [
    "contrastive_loss",
    "cosine_distance",
    "cosine_distance_loss",
    "cosine_embedding_loss",
    "cosine_similarity",
    "normalize",
    "nt_xent_loss",
    "pairwise_cosine_distance",
    "pairwise_cosine_similarity",
    "sigmoid_contrastive_loss",
]
