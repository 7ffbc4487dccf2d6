"""The array operations of the closed forms and the reductions, for TensorFlow.

TensorFlow's own operations run on threads that flush subnormals to zero. The native operations keep them.
"""

from typing import Any, Final

import numpy as np
import tensorflow as tf

from cosgrad.spec import Shape
from cosgrad.tensorflow._arguments import HALF
from cosgrad.tensorflow._state import current

_ROW: Final = 1024
_INTEGERS: Final = {tf.float32: tf.int32, tf.float64: tf.int64}  # the integer dtype of the same size


class TensorflowOps:
    """`cosgrad.spec.Ops` for tensors. All operations can be compiled, vectorised and differentiated."""

    def widen(self, x: Any) -> Any:
        """Return x in the dtype of the computation."""
        return tf.cast(x, wide(x.dtype))

    def cast(self, x: Any, like: Any) -> Any:
        """Return x in the dtype of `like`."""
        return tf.cast(x, like.dtype)

    def detach(self, x: Any) -> Any:
        """Return x as a constant."""
        return tf.stop_gradient(x)

    def zeros(self, like: Any) -> Any:
        """Return zeros of the shape of `like`."""
        return tf.zeros_like(like)

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        """Select elements by a condition."""
        dtype = next((t.dtype for t in (x, y) if isinstance(t, tf.Tensor)), tf.float32)
        return tf.where(condition, tf.convert_to_tensor(x, dtype), tf.convert_to_tensor(y, dtype))

    def sqrt(self, x: Any) -> Any:
        """Return the square root."""
        return tf.sqrt(x)

    def isfinite(self, x: Any) -> Any:
        """Return whether each element is finite."""
        return tf.math.is_finite(x)

    def sum(self, x: Any, axis: int | Shape) -> Any:
        """Sum over one or several axes and keep them with length 1."""
        return tf.reduce_sum(x, axis, keepdims=True)

    def largest(self, x: Any, axis: int) -> Any:
        """Return max |x_i|, or 0 for an empty axis."""
        m = tf.reduce_max(tf.abs(tf.stop_gradient(x)), axis, keepdims=True)
        return tf.stop_gradient(tf.where(m < 0, tf.zeros_like(m), m))

    def inverse_powers(self, m: Any) -> tuple[Any, Any]:
        """Return two powers of two whose product times m is from 2 to 4, or NaN if m is not finite."""
        info, integers = np.finfo(m.dtype.as_numpy_dtype), _INTEGERS[m.dtype]
        bias = info.maxexp - 1
        digits, one = tf.constant(info.nmant, integers), tf.constant(1, integers)
        to_place = tf.constant(1 << info.nmant, integers)  # TensorFlow Lite has no shift to the left
        m = tf.stop_gradient(m)
        field = tf.bitwise.right_shift(tf.bitcast(m, integers), digits)  # exponent of m plus bias
        power = tf.minimum(2 * bias + 1 - field, 2 * bias)  # exponent of the product plus bias
        half = tf.bitwise.right_shift(power + (bias + 1), one)
        first, last = (
            self.where(m < float("inf"), tf.bitcast(t * to_place, m.dtype), float("nan"))
            for t in (half, power + bias - half)
        )
        return first, last

    def limits(self, x: Any) -> tuple[float, float]:
        """Return the machine epsilon and the largest number."""
        info = np.finfo(x.dtype.as_numpy_dtype)
        return float(info.eps), float(info.max)

    def total(self, x: Any) -> Any:
        """Return the sum of all elements, in float64 if available.

        TensorFlow's full reductions depend on the number of threads; its sums of rows do not. So the sum is
        computed in rounds of row sums. Three rounds are enough if the size is unknown.
        """
        x = tf.reshape(tf.cast(x, tf.float64 if x.dtype == tf.float64 else widest()), [-1])
        n = x.shape[0]
        for _ in range(3 if n is None else max(1, -(-(n - 1).bit_length() // 10))):
            gap = tf.math.floormod(-tf.size(x), _ROW) if n is None else -x.shape[0] % _ROW
            x = tf.reduce_sum(tf.reshape(tf.pad(x, [[0, gap]]), [-1, _ROW]), 1)
        return tf.reduce_sum(x)


def wide(dtype: tf.DType) -> tf.DType:
    """Return the dtype of the computation."""
    return tf.float32 if dtype in HALF else tf.float64 if dtype == tf.float64 else widest()


def widest() -> tf.DType:
    """Return the dtype in which float32 values and sums of losses are computed."""
    return tf.float64 if current().float64 else tf.float32


OPS: Final = TensorflowOps()
