"""Helpers of the TensorFlow tests: tensors, derivatives in every mode, comparison with the oracle."""

import held
import numpy as np
import tensorflow as tf

from cosgrad.verify import inputs
from cosgrad.verify.bounds import Bound


def tensor(a: np.ndarray, dtype: tf.DType) -> tf.Tensor:
    """Return a tensor of the dtype. The numbers are given in float64 and are exact in the dtype."""
    return tf.constant(np.asarray(a, np.float64).astype(dtype.as_numpy_dtype))


def check(batch: inputs.Batch, got: tf.Tensor, true: list, scale: list, bound: Bound) -> None:
    """Call `held.check` with a tensor."""
    held.check(batch, got.numpy().astype(np.float64), true, scale, bound)


def same(got: tf.Tensor, expected: np.ndarray) -> None:
    """Check that a tensor has the dtype, the shape and every bit of an array. Any NaN equals any other."""
    got = got.numpy()
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    nan = np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(got), nan)
    bits = f"u{got.dtype.itemsize}"
    np.testing.assert_array_equal(np.where(nan, 0, got.view(bits)), np.where(nan, 0, expected.view(bits)))


def gradient(function, inputs, g=None):
    """Return the gradients of a function, computed by a tape."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        out = function(*inputs)
    return tape.gradient(out, inputs, output_gradients=g)


def tangent(function, inputs, directions):
    """Return the derivative along a direction, computed in forward mode."""
    with tf.autodiff.ForwardAccumulator(inputs, directions) as accumulator:
        out = function(*inputs)
    return accumulator.jvp(out)


def reverse_over_reverse(function, inputs, directions, g=None):
    """Return the Hessian-vector product, computed by a tape around a tape."""
    return gradient(lambda *t: inner(gradient(function, t, g), directions), inputs)


def forward_over_reverse(function, inputs, directions):
    """Return the Hessian-vector product, computed by an accumulator around a tape."""
    return tangent(lambda *t: gradient(function, t), inputs, directions)


def reverse_over_forward(function, inputs, directions):
    """Return the Hessian-vector product, computed by a tape around an accumulator."""
    return gradient(lambda *t: tangent(function, t, directions), inputs)


def inner(x, y):
    """Return the inner product of two lists of tensors."""
    return tf.add_n([tf.reduce_sum(a * b) for a, b in zip(x, y, strict=True)])


def matrices(rng: np.random.Generator, dtype: tf.DType = tf.float64, shape=(4, 5)):
    """Return two tensors of normal random numbers."""
    return tuple(tensor(rng.standard_normal(shape), dtype) for _ in range(2))
