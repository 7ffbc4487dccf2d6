"""The cosine as Keras losses and metrics, on every Keras backend through that framework's face.

The losses stand here too; metrics, whose names are the same, only in `cosgrad.keras.metrics`.
"""

from cosgrad.require import require as _require

# 3.6 is the first that keeps the masks of tensors that take no attributes, as JAX's under `jit`.
_require("keras", "keras", "3.6")

from cosgrad.keras import losses, metrics  # noqa: E402
from cosgrad.keras.losses import CosineDistance, CosineSimilarity  # noqa: E402

__all__ = ["CosineDistance", "CosineSimilarity", "losses", "metrics"]
