"""Cosine similarity, distance and losses for NumPy, and the derivatives of the similarity as functions."""

from cosgrad.numpy._derivatives import cosine_similarity_grad, cosine_similarity_hvp, cosine_similarity_jvp
from cosgrad.numpy._losses import cosine_distance_loss, cosine_embedding_loss
from cosgrad.numpy._pairwise import pairwise_cosine_distance, pairwise_cosine_similarity
from cosgrad.numpy._similarity import cosine_distance, cosine_similarity, normalize

__all__ = [
    "cosine_distance",
    "cosine_distance_loss",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cosine_similarity_grad",
    "cosine_similarity_hvp",
    "cosine_similarity_jvp",
    "normalize",
    "pairwise_cosine_distance",
    "pairwise_cosine_similarity",
]
