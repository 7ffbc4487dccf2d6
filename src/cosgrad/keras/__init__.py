"""Cosine losses and metrics for Keras. Each Keras backend uses the cosgrad frontend of its framework.

The losses are also exported here. The metrics have the same names, so they are only in
`cosgrad.keras.metrics`.
"""

from cosgrad.require import require as _require

# Keras 3.6 is the first version that keeps masks of tensors without attributes, such as JAX's under `jit`.
try:
    _require("keras", "keras", "3.6")
except ModuleNotFoundError as error:
    backend = (error.name or "").partition(".")[0]
    raise ImportError(
        f"cosgrad.keras needs Keras's backend, and {backend} is not installed: install it, or set "
        "KERAS_BACKEND to one of torch, jax and tensorflow that is"
    ) from None

from cosgrad.keras import losses, metrics
from cosgrad.keras.losses import CosineDistance, CosineSimilarity

__all__ = ["CosineDistance", "CosineSimilarity", "losses", "metrics"]
