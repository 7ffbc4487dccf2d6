"""Cosine metrics for Keras: running means over all vectors so far.

On JAX, `fit` and `evaluate` pass predictions to all metrics without their masks. Use sample weights there.
"""

from typing import Any, ClassVar

import keras
from keras import ops

from cosgrad.closed import DISTANCE, SIMILARITY
from cosgrad.keras._backend import as_tensors, excluding, mask_of, plain, values, weights_of


class _Cosine(keras.metrics.Mean):
    """Base class: the mean of a value per vector. A weight of 0 excludes its row."""

    what: ClassVar[str]
    direction: ClassVar[str]

    def __init__(self, name: str, dtype: Any = None, axis: int = -1) -> None:
        super().__init__(name=name, dtype=dtype)
        self.axis = axis
        self._direction = self.direction  # for callbacks that need to know whether a larger value is better

    @plain
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch to the mean.

        Args:
            y_true: Vectors.
            y_pred: Vectors of the same rank. Its mask excludes vectors.
            sample_weight: One weight per vector or per sample.
        """
        mask = mask_of(y_pred)
        x, y = as_tensors(y_true, y_pred, self.dtype)
        value = values(self.what, x, y, self.axis, weighted=False)
        weights = weights_of(value, sample_weight, mask)
        if weights is not None:
            value = excluding(value, weights)
            weights = ops.reshape(weights, (-1,))
        super().update_state(ops.reshape(value, (-1,)), weights)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that create the same metric again."""
        return {"name": self.name, "dtype": self.dtype, "axis": self.axis}


@keras.saving.register_keras_serializable(package="cosgrad.metrics")
class CosineDistance(_Cosine):
    """The mean cosine distance D = 1 - S of all vectors so far, from 0 (same direction) to 2 (opposite).

    Args:
        name: Name of the metric.
        dtype: Dtype of the result, to which both arguments are cast; `keras.backend.floatx()` if not given.
        axis: Axis of the vectors.

    Example:
        >>> metric = CosineDistance()
        >>> metric.update_state([[3.0, 4.0], [1.0, 0.0]], [[4.0, 3.0], [0.0, 1.0]])
        >>> print(f"{float(metric.result()):.2f}")
        0.52
    """

    what = DISTANCE
    direction = "down"

    def __init__(self, name: str = "cosine_distance", dtype: Any = None, axis: int = -1) -> None:
        super().__init__(name, dtype, axis)


@keras.saving.register_keras_serializable(package="cosgrad.metrics")
class CosineSimilarity(_Cosine):
    """The mean cosine similarity S of all vectors so far, positive like `keras.metrics.CosineSimilarity`.

    The arguments are those of `CosineDistance`.

    Example:
        >>> metric = CosineSimilarity()
        >>> metric.update_state([[3.0, 4.0], [1.0, 0.0]], [[4.0, 3.0], [0.0, 1.0]])
        >>> print(f"{float(metric.result()):.2f}")
        0.48
    """

    what = SIMILARITY
    direction = "up"

    def __init__(self, name: str = "cosine_similarity", dtype: Any = None, axis: int = -1) -> None:
        super().__init__(name, dtype, axis)
