"""The cosine as Keras losses and metrics, on every Keras backend through that framework's frontend.

The losses stand here too; metrics, whose names are the same, only in `cosgrad.keras.metrics`.
"""

from cosgrad.require import require as _require

# 3.6 is the first that keeps the masks of tensors that take no attributes, as JAX's under `jit`.
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
