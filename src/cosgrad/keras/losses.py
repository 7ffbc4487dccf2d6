"""Cosine losses for Keras."""

from typing import Any, ClassVar, Final

import keras
from keras import ops

from cosgrad.closed import DISTANCE, SIMILARITY
from cosgrad.keras._backend import as_tensors, backend, mask_of, plain, values, weights_of

# Keras's names of the reductions, and the names in `cosgrad.spec`.
_REDUCTIONS: Final = {
    "sum_over_batch_size": "mean",
    "mean": "mean",
    "mean_with_sample_weight": "weighted_mean",
    "sum": "sum",
    "none": "none",
    None: "none",
}


class _Cosine(keras.losses.Loss):
    """Base class: a loss per vector with Keras's weights and reductions. A weight of 0 excludes its row."""

    what: ClassVar[str]
    sign: ClassVar[float] = 1.0

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        if reduction not in _REDUCTIONS:
            raise ValueError(f"reduction={reduction!r} must be one of {', '.join(map(repr, _REDUCTIONS))}")
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.axis = axis

    @plain
    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each pair of vectors."""
        return self._losses(y_true, y_pred, weighted=False)

    def _losses(self, y_true: Any, y_pred: Any, weighted: bool) -> Any:
        return self.sign * values(self.what, y_true, y_pred, self.axis, weighted)

    @plain
    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Return the loss, weighted and reduced."""
        mask = mask_of(y_pred)
        with keras.name_scope(self.name):
            x, y = as_tensors(y_true, y_pred, self.dtype)
            losses = self._losses(x, y, weighted=not (sample_weight is None and mask is None))
            losses = ops.cast(losses, self.dtype)
            weights = weights_of(losses, sample_weight, mask)
            reduction = _REDUCTIONS[self.reduction]
            if mask is not None and reduction == "mean":  # the mean is over the vectors that the mask keeps
                left = ops.mean(ops.cast(mask, weights.dtype))
                weights = ops.where(
                    left == 0, ops.zeros_like(weights), weights / ops.where(left == 0, 1, left)
                )
            return _per_replica(backend().reduced(losses, weights, reduction), reduction)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that create the same loss again."""
        return {**super().get_config(), "axis": self.axis, "dtype": self.dtype}


@keras.saving.register_keras_serializable(package="cosgrad.losses")
class CosineDistance(_Cosine):
    """The cosine distance D = 1 - S of `y_true` and `y_pred`, from 0 (same direction) to 2 (opposite).

    D and its gradient are accurate also for nearly parallel vectors. A zero vector has D = 1 and gradient 0.

    Args:
        axis: Axis of the vectors.
        reduction: "sum_over_batch_size" or "mean", over the number of vectors that the mask keeps;
            "mean_with_sample_weight", over the sum of the weights; "sum"; "none" or None.
        name: Name of the loss.
        dtype: Dtype, or policy, to which both arguments are cast; `keras.backend.floatx()` if not given.

    Raises:
        ValueError: The reduction is none of these; in a call, shapes do not fit or the axis does not exist.
        TypeError: In a call, an argument is not real.

    In a call, `sample_weight` has one weight per vector or per sample. A weight of 0, or the mask of
    `y_pred`, excludes vectors, even if they have NaN.

    Example:
        >>> loss = CosineDistance()
        >>> y_true, y_pred = [[1.0, 4.0, 5.0], [5.0, 5.0, 7.0]], [[3.0, 2.0, 5.0], [3.0, 2.0, 7.0]]
        >>> print(f"{float(loss(y_true, y_pred)):.7f}")
        0.0771687
    """

    what = DISTANCE

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "cosine_distance",
        dtype: Any = None,
    ) -> None:
        super().__init__(axis, reduction, name, dtype)


@keras.saving.register_keras_serializable(package="cosgrad.losses")
class CosineSimilarity(_Cosine):
    """Minus the cosine similarity of `y_true` and `y_pred`, as `keras.losses.CosineSimilarity`: -1 is best.

    The value is within [-1, 1], with an error of about half an ulp. A zero vector has S = 0 and gradient 0.
    The arguments, the exceptions, and the rules for weights and masks are those of `CosineDistance`. Near -1
    the last bit of a float32 loss is 6e-8. `CosineDistance` has more digits there, and the same gradient.

    Example:
        >>> loss = CosineSimilarity()
        >>> print(f"{float(loss([[3.0, 4.0]], [[4.0, 3.0]])):.2f}")
        -0.96
    """

    what = SIMILARITY
    sign = -1.0

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "cosine_similarity",
        dtype: Any = None,
    ) -> None:
        super().__init__(axis, reduction, name, dtype)


def _per_replica(loss: Any, reduction: str) -> Any:
    """Return the replica's part of the mean, because `tf.distribute` adds the gradients of all replicas."""
    if keras.backend.backend() != "tensorflow" or reduction in ("none", "sum"):
        return loss
    import tensorflow as tf

    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return loss / replicas if replicas > 1 else loss
