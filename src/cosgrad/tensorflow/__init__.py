"""Cosine similarity, distance and losses for TensorFlow, with derivatives of every order.

On the CPU, the native core computes values and first derivatives, eagerly and in `tf.function`. Other
devices, `jit_compile=True`, and derivatives of order two and higher use TensorFlow operations.

A `SavedModel` that uses these functions contains cosgrad's operations. A process must import
`cosgrad.tensorflow` before it loads the model. Otherwise TensorFlow raises an error:
`Op type not registered 'CosgradDistance'`. A model saved within `closed_forms()` contains only TensorFlow's
own operations. A loaded model has gradients of order one, because TensorFlow does not save higher orders. It
logs a message about this.
"""

from cosgrad.require import require as _require

# TensorFlow 2.16 is the first version that runs on NumPy 1.26 with both Python 3.11 and 3.12. It exports
# every C function that cosgrad uses.
_require("tensorflow", "tensorflow", "2.16")

from cosgrad.tensorflow import _pfor as _pfor  # registers the vectorisation of loops
from cosgrad.tensorflow import _rules as _rules  # registers the gradients of the operations
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
