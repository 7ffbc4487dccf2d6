"""The array operations that the closed forms and the reductions ask of TensorFlow.

TensorFlow runs its own operations on threads that take subnormals for zeros; the native ones do not.
"""

from typing import Any, Final

import numpy as np
import tensorflow as tf

from cosgrad.spec import Shape

_HALF: Final = (tf.float16, tf.bfloat16)
_ROW: Final = 1024
_BITS: Final = {  # the integers of the same size, and where the exponent is
    tf.float32: (tf.int32, 0x7F80_0000),
    tf.float64: (tf.int64, 0x7FF0_0000_0000_0000),
}


class TensorflowOps:
    """`cosgrad.spec.Ops` for tensors, in operations that can be compiled, vectorised and differentiated."""

    def widen(self, x: Any) -> Any:
        """Return x in the dtype to compute in."""
        return tf.cast(x, wide(x.dtype))

    def cast(self, x: Any, like: Any) -> Any:
        """Return x in the dtype of `like`."""
        return tf.cast(x, like.dtype)

    def detach(self, x: Any) -> Any:
        """Return x as a constant."""
        return tf.stop_gradient(x)

    def zeros(self, like: Any) -> Any:
        """Return zeros of this shape."""
        return tf.zeros_like(like)

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        """Select elementwise."""
        dtype = next((t.dtype for t in (x, y) if isinstance(t, tf.Tensor)), tf.float32)
        return tf.where(condition, tf.convert_to_tensor(x, dtype), tf.convert_to_tensor(y, dtype))

    def sqrt(self, x: Any) -> Any:
        """Return the square root."""
        return tf.sqrt(x)

    def isfinite(self, x: Any) -> Any:
        """Tell where x is finite."""
        return tf.math.is_finite(x)

    def sum(self, x: Any, axis: int | Shape) -> Any:
        """Sum over one axis or several, kept."""
        return tf.reduce_sum(x, axis, keepdims=True)

    def largest(self, x: Any, axis: int) -> Any:
        """Return max |x_i|, 0 over an empty axis."""
        m = tf.reduce_max(tf.abs(tf.stop_gradient(x)), axis, keepdims=True)
        return tf.stop_gradient(tf.where(m < 0, tf.zeros_like(m), m))

    def power_of_two(self, m: Any) -> Any:
        """Return the largest power of two up to m, at least the smallest normal one, infinity for NaN."""
        integers, exponent = _BITS[m.dtype]
        bits = tf.bitwise.bitwise_and(
            tf.bitcast(tf.stop_gradient(m), integers), tf.constant(exponent, integers)
        )
        tiny = tf.constant(np.finfo(m.dtype.as_numpy_dtype).tiny, m.dtype)
        return tf.stop_gradient(tf.where(m < tiny, tiny, tf.bitcast(bits, m.dtype)))

    def limits(self, x: Any) -> tuple[float, float]:
        """Return the machine epsilon and the largest number."""
        info = np.finfo(x.dtype.as_numpy_dtype)
        return float(info.eps), float(info.max)

    def total(self, x: Any) -> Any:
        """Sum everything in float64.

        TensorFlow splits the sum of many elements into one by the number of threads, the sums of rows it does
        not. Three rounds of rows are enough for a size that is not known yet.
        """
        x = tf.reshape(tf.cast(x, tf.float64), [-1])
        n = x.shape[0]
        for _ in range(3 if n is None else max(1, -(-(n - 1).bit_length() // 10))):
            gap = tf.math.floormod(-tf.size(x), _ROW) if n is None else -x.shape[0] % _ROW
            x = tf.reduce_sum(tf.reshape(tf.pad(x, [[0, gap]]), [-1, _ROW]), 1)
        return tf.reduce_sum(x)


def wide(dtype: tf.DType) -> tf.DType:
    """Return the dtype to compute in."""
    return tf.float32 if dtype in _HALF else tf.float64


OPS: Final = TensorflowOps()
