"""Cosine similarities in TensorFlow: right ones, and wrong ones with one mistake each."""

from __future__ import annotations

import tensorflow as tf

import cosgrad.tensorflow


def _dot(x, y):
    return tf.reduce_sum(x * y, -1)


def plain(x, y):
    """Return the similarity by the textbook formula."""
    return _dot(x, y) / (tf.norm(x, axis=-1) * tf.norm(y, axis=-1))


ours = cosgrad.tensorflow.cosine_similarity
ours_distance = cosgrad.tensorflow.cosine_distance


def one_pair(x, y):
    return _dot(x, y) / tf.sqrt(_dot(x, x) * _dot(y, y))


def one_column(x, y):
    return tf.transpose(x) @ y / (tf.norm(x) * tf.norm(y))


def of_unit_vectors(labels, predictions):
    """Return the distance of TensorFlow 1, which assumes unit vectors without a check."""
    loss = tf.compat.v1.losses.cosine_distance(labels, predictions, axis=-1, reduction="none")
    return loss[:, 0]


def floored(x, y):
    """Return the similarity with a lower bound of the squared norms, as in `tf.math.l2_normalize`."""
    return _dot(tf.math.l2_normalize(x, -1, epsilon=1e-3), tf.math.l2_normalize(y, -1, epsilon=1e-3))


def detached(x, y):
    return plain(tf.stop_gradient(x), tf.stop_gradient(y))


def detached_norm(x, y):
    return _dot(x, y) / tf.stop_gradient(tf.norm(x, axis=-1) * tf.norm(y, axis=-1))


@tf.custom_gradient
def once(x, y):
    """Return the similarity with a gradient that no tape can differentiate."""
    with tf.GradientTape() as tape:
        tape.watch([x, y])
        S = plain(x, y)
    gradients = [tf.stop_gradient(g) for g in tape.gradient(S, [x, y], output_gradients=tf.ones_like(S))]
    return S, lambda g: [tf.stop_gradient(g)[:, None] * t for t in gradients]


def in_numpy(x, y):
    return plain(x, y).numpy()
