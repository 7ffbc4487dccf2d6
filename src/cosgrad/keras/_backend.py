"""The frontend of the framework that Keras runs on, and Keras's weights and masks in our terms."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, ParamSpec

import keras
from keras import ops
from keras.src.backend.common.masking import get_keras_mask as mask_of

from cosgrad.spec import Frontend

__all__ = ["NAMES", "as_tensors", "backend", "excluding", "mask_of", "plain", "values", "weights_of"]

_FRAMEWORKS: Final = ("torch", "jax", "tensorflow")
FRONTEND: Final = Frontend("axis", "tensor")
NAMES: Final = ("y_true", "y_pred")
_HALF: Final = ("float16", "bfloat16")
_REAL: Final = ("float", "bfloat", "int", "uint", "bool")
_PYTHON: Final = {int: "int64", float: "float64", complex: "complex128"}
P = ParamSpec("P")


@dataclass(frozen=True)
class Backend:
    """What losses and metrics ask of a frontend."""

    cosine: Callable[..., Any]
    reduced: Callable[..., Any]


def backend() -> Backend:
    """Return the frontend of Keras's backend."""
    name = keras.backend.backend()
    if name not in _FRAMEWORKS:
        raise ImportError(f"cosgrad.keras runs on the Keras backends {', '.join(_FRAMEWORKS)}, not on {name}")
    import_module(f"cosgrad.{name}")  # says what is missing
    return Backend(
        import_module(f"cosgrad.{name}._similarity").cosine, import_module(f"cosgrad.{name}._losses").reduced
    )


def plain(function: Callable[P, Any]) -> Callable[P, Any]:
    """Keep TensorFlow's AutoGraph from rewriting a function: it takes seconds and warns of what it cannot."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    wrapped: Callable[P, Any] = tf.autograph.experimental.do_not_convert(function)
    return wrapped


def as_tensors(y_true: Any, y_pred: Any, dtype: str) -> tuple[Any, Any]:
    """Return both in the dtype, or in float32 if one has integers that a half type may not hold.

    Raises:
        TypeError: One is not real: a cast would drop the imaginary part.
        ValueError: They are not of one rank.
    """
    kinds = {kind for name, t in zip(NAMES, (y_true, y_pred), strict=True) for kind in kinds_of(name, t)}
    if dtype in _HALF and any(kind.startswith(("int", "uint")) for kind in kinds):
        dtype = "float32"
    x, y = ops.convert_to_tensor(y_true, dtype=dtype), ops.convert_to_tensor(y_pred, dtype=dtype)
    if len(x.shape) != len(y.shape):
        raise ValueError(
            f"y_true of shape {tuple(x.shape)} and y_pred of shape {tuple(y.shape)} must be of one rank"
        )
    return x, y


def kinds_of(name: str, t: Any) -> set[str]:
    """Return the names of the dtypes in a tensor, an array or a list, after a check that they are real."""
    leaves = [t] if hasattr(t, "dtype") else keras.tree.flatten(t)
    found = {leaf.dtype if hasattr(leaf, "dtype") else type(leaf) for leaf in leaves}
    kinds = {_PYTHON.get(kind) or getattr(kind, "name", None) or _name(kind) for kind in found}
    for kind in kinds:
        if not kind.startswith(_REAL):
            raise FRONTEND.refuse_dtype(name, kind, "real")
    return kinds


def _name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind).removeprefix("torch.")


def values(what: str, y_true: Any, y_pred: Any, axis: int, weighted: bool) -> Any:
    """Return S or D of each pair of vectors; with weights, rows whose cotangent is 0 have gradient 0."""
    FRONTEND.check_axis(axis, len(y_pred.shape))  # in Keras's words
    return backend().cosine(what, NAMES, y_true, y_pred, axis, 0.0, skip_zero=weighted)


def weights_of(losses: Any, sample_weight: Any, mask: Any) -> Any:
    """Return the product of weights and mask, given per vector or per sample, as one per vector; or None.

    Beside half types it is float32: a half type does not hold 70000.
    """
    if sample_weight is not None:
        kinds_of("sample_weight", sample_weight)
    dtype = keras.backend.standardize_dtype(losses.dtype)
    parts = [
        _fitted(name, ops.cast(ops.convert_to_tensor(w), "float32" if dtype in _HALF else dtype), losses)
        for name, w in (("sample_weight", sample_weight), ("the mask of y_pred", mask))
        if w is not None
    ]
    return ops.broadcast_to(math.prod(parts), ops.shape(losses)) if parts else None


def _fitted(name: str, w: Any, losses: Any) -> Any:
    """Return the weights with the rank of the losses: their axes are the losses' first ones."""
    shape = tuple(losses.shape)
    if len(w.shape) == len(shape) + 1 and w.shape[-1] == 1:
        w = ops.squeeze(w, -1)
    if len(w.shape) < len(shape):
        w = ops.reshape(w, (*ops.shape(w), *(1,) * (len(shape) - len(w.shape))))
    if not any(n is None for n in (*w.shape, *shape)):
        FRONTEND.check_fits(name, tuple(w.shape), shape)
    return w


def excluding(losses: Any, weights: Any) -> Any:
    """Return the losses with 0 where a weight of 0 meets what is not finite."""
    return ops.where((weights == 0) & ~ops.isfinite(losses), ops.zeros_like(losses), losses)
