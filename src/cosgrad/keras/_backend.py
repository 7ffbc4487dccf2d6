"""Access to the frontend of Keras's backend, and conversion of Keras's arguments, weights and masks."""

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
    """The two functions of a frontend that losses and metrics call."""

    cosine: Callable[..., Any]
    reduced: Callable[..., Any]


def backend() -> Backend:
    """Return the frontend of Keras's backend, or raise an error if cosgrad does not support this backend."""
    name = keras.backend.backend()
    if name not in _FRAMEWORKS:
        raise ImportError(f"cosgrad.keras runs on the Keras backends {', '.join(_FRAMEWORKS)}, not on {name}")
    import_module(f"cosgrad.{name}")  # raises an error if the framework is missing
    return Backend(
        import_module(f"cosgrad.{name}._similarity").cosine, import_module(f"cosgrad.{name}._losses").reduced
    )


def plain(function: Callable[P, Any]) -> Callable[P, Any]:
    """Exclude a function from TensorFlow's AutoGraph, which takes seconds and warns of unsupported code."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    wrapped: Callable[P, Any] = tf.autograph.experimental.do_not_convert(function)
    return wrapped


def as_tensors(y_true: Any, y_pred: Any, dtype: str) -> tuple[Any, Any]:
    """Return both in the dtype, or in float32 if this is a half type and one argument has integers.

    A half type cannot represent all integers.

    Raises:
        TypeError: An argument is not real. A cast would drop the imaginary part.
        ValueError: The ranks differ.
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
    """Return the names of the dtypes in a tensor, array or list, or raise an error if one is not real."""
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
    """Return S or D of each pair of vectors. With weights, rows whose cotangent is 0 have gradient 0."""
    FRONTEND.check_axis(axis, len(y_pred.shape))  # so that the error has Keras's terms
    return backend().cosine(what, NAMES, y_true, y_pred, axis, 0.0, skip_zero=weighted)


def weights_of(losses: Any, sample_weight: Any, mask: Any) -> Any:
    """Return the product of weights and mask, one number per vector, or None if neither is given.

    Both may be given per vector or per sample. For losses of a half type the product is float32, because a
    half type cannot represent a weight of 70000.
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
    """Reshape weights to the rank of the losses. The axes of the weights are the first axes of the losses."""
    shape = tuple(losses.shape)
    if len(w.shape) == len(shape) + 1 and w.shape[-1] == 1:
        w = ops.squeeze(w, -1)
    if len(w.shape) < len(shape):
        w = ops.reshape(w, (*ops.shape(w), *(1,) * (len(shape) - len(w.shape))))
    if not any(n is None for n in (*w.shape, *shape)):
        FRONTEND.check_fits(name, tuple(w.shape), shape)
    return w


def excluding(losses: Any, weights: Any) -> Any:
    """Return the losses, with 0 in place of losses that are not finite and have weight 0."""
    return ops.where((weights == 0) & ~ops.isfinite(losses), ops.zeros_like(losses), losses)
