"""The cosine in TensorFlow: similarity, distance and losses with every derivative.

On the CPU the native core computes values and first derivatives, eagerly and in `tf.function`; all else
(other devices, `jit_compile=True`, derivatives of order two and up) is plain TensorFlow operations.

A `SavedModel` that uses these functions holds their operations: a process that loads it must have imported
`cosgrad.tensorflow` before, or TensorFlow says `Op type not registered 'CosgradDistance'`. Saved within
`closed_forms()`, it holds TensorFlow's own operations alone. What is loaded has gradients of order one;
TensorFlow does not save those above, and logs so.
"""

from cosgrad.require import require as _require

# 2.16 is the first to run on NumPy 1.26 and Python 3.11 and 3.12 alike, and exports every C function used.
_require("tensorflow", "tensorflow", "2.16")

from cosgrad.tensorflow import _pfor as _pfor  # registers how loops are vectorised
from cosgrad.tensorflow import _rules as _rules  # registers what differentiates the operations
from cosgrad.tensorflow import compat
from cosgrad.tensorflow._losses import cosine_distance_loss, cosine_embedding_loss
from cosgrad.tensorflow._pairwise import pairwise_cosine_distance, pairwise_cosine_similarity
from cosgrad.tensorflow._similarity import cosine_distance, cosine_similarity, normalize
from cosgrad.tensorflow._state import closed_forms

__all__ = [
    "closed_forms",
    "compat",
    "cosine_distance",
    "cosine_distance_loss",
    "cosine_embedding_loss",
    "cosine_similarity",
    "normalize",
    "pairwise_cosine_distance",
    "pairwise_cosine_similarity",
]
