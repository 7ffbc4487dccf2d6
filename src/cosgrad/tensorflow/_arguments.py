"""TensorFlow's conventions for arguments."""

import operator
from collections.abc import Callable
from typing import Any, Final, ParamSpec

import numpy as np
import tensorflow as tf

from cosgrad.spec import Frontend

FRONTEND: Final = Frontend("axis", "tensor")
HALF: Final = (tf.float16, tf.bfloat16)
FLOATS: Final = (tf.float16, tf.bfloat16, tf.float32, tf.float64)
FLOAT_NAMES: Final = "float16, bfloat16, float32 or float64"

Names = tuple[str, str]
P = ParamSpec("P")


def plain(function: Callable[P, Any]) -> Callable[P, Any]:
    """Exclude a function from AutoGraph: rewriting takes seconds and has no benefit here."""
    wrapped: Callable[P, Any] = tf.autograph.experimental.do_not_convert(function)
    return wrapped


def as_tensor(name: str, x: Any, hint: tf.DType = tf.float32) -> Any:
    """Return x as a tensor of floats. Python numbers and lists of them get the dtype of the hint."""
    t = as_dense(name, x, hint)
    if t.dtype not in FLOATS:
        raise FRONTEND.refuse_dtype(name, t.dtype.name, f"floating, that is {FLOAT_NAMES}")
    return t


def as_dense(name: str, x: Any, hint: tf.DType) -> Any:
    """Return x as a tensor. Python numbers and lists get the dtype of the hint if it can represent them."""
    if isinstance(x, tf.RaggedTensor | tf.SparseTensor):
        raise TypeError(f"{name} is a {type(x).__name__}, must be dense")
    try:
        return tf.convert_to_tensor(x) if hasattr(x, "dtype") else tf.convert_to_tensor(x, dtype_hint=hint)
    except ValueError as error:  # TensorFlow raises it for objects and for lists of unequal lengths
        if _holds_objects(x):
            raise FRONTEND.refuse_dtype(name, "object", "real numbers") from error
        raise


def _holds_objects(x: Any) -> bool:
    try:
        return np.asarray(x).dtype == object
    except ValueError:
        return False


def as_pair(names: Names, x: Any, y: Any) -> tuple[Any, Any]:
    """Return both as tensors of one dtype, or raise an error: like TensorFlow, cosgrad does not promote here.

    If a tensor of a half type is used with Python numbers, both are converted to float32, because float16
    cannot represent 70000. `promoted` returns the dtype of the results.
    """
    if not getattr(tf.Tensor, "_USE_EQUALITY", True):
        raise RuntimeError("cosgrad.tensorflow compares tensors: call tf.compat.v1.enable_tensor_equality()")
    if hasattr(x, "dtype") or not hasattr(y, "dtype"):
        a = as_tensor(names[0], x)
        a, b = _beside(a, names[1], y)
    else:
        b = as_tensor(names[1], y)
        b, a = _beside(b, names[0], x)
    if a.dtype != b.dtype:
        raise FRONTEND.dtype_error(
            f"{names[0]} is of dtype {a.dtype.name} and {names[1]} of dtype {b.dtype.name}, must be of one:"
            " TensorFlow does not promote"
        )
    return a, b


def _beside(t: Any, name: str, other: Any) -> tuple[Any, Any]:
    """Return a tensor and the other argument, which may be a Python number or list, in one dtype."""
    if hasattr(other, "dtype") or t.dtype not in HALF:
        return t, as_tensor(name, other, t.dtype)
    return tf.cast(t, tf.float32), as_tensor(name, other)


def promoted(x: Any, y: Any) -> tf.DType:
    """Return the dtype of the results for two arguments of `as_pair`."""
    return next((tf.as_dtype(t.dtype) for t in (x, y) if hasattr(t, "dtype")), tf.float32)


def check_real(name: str, dtype: tf.DType) -> None:
    """Raise an error if a dtype is not real: a cast would drop the imaginary part."""
    if not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
        raise FRONTEND.refuse_dtype(name, dtype.name, "real")


def check_axis(axis: int, rank: int | None) -> int:
    """Return the axis counted from the front, or unchanged if the rank is unknown."""
    return operator.index(axis) if rank is None else FRONTEND.check_axis(axis, rank)


def broadcast(names: Names, x: Any, y: Any) -> Any:
    """Return the shape to which both broadcast, with None for unknown lengths."""
    if x.shape.rank is None or y.shape.rank is None:
        return tf.TensorShape(None)
    a, b = tuple(x.shape), tuple(y.shape)
    rank = max(len(a), len(b))
    shape = []
    for m, n in zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True):
        if m is not None and n is not None and m != n and m != 1 and n != 1:
            FRONTEND.check_broadcast(names[0], a, names[1], b)
        # An unknown length may be 1, so only a length greater than 1 determines the result's.
        shape.append(n if m == 1 or (m is None and n != 1) else m)
    return tf.TensorShape(shape)


def without_axis(shape: Any, axis: int) -> Any:
    """Return the shape without the axis. The shape of a scalar stays as it is."""
    if shape.rank is None:
        return shape
    return shape[:axis].concatenate(shape[axis + 1 :]) if shape.rank else shape


def check_fits(name: str, t: Any, batch: Any) -> None:
    """Raise an error if a tensor would enlarge the losses. Unknown shapes are checked at run time."""
    if t.shape.is_fully_defined() and batch.is_fully_defined():
        FRONTEND.check_fits(name, tuple(t.shape), tuple(batch))
