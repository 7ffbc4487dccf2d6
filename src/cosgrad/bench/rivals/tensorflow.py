"""Libraries that take TensorFlow tensors. All are timed inside `tf.function`."""

from __future__ import annotations

import os
from typing import Any

from cosgrad.bench.rivals.base import Function, Functions, Library, minus
from cosgrad.bench.timing import Work


def _functions(similarity: Function, distance: Function, loss: Function | None = None) -> Functions:
    import tensorflow as tf

    mean = loss or (lambda x, y: tf.reduce_mean(distance(x, y)))

    def with_gradients(x: Any, y: Any) -> Work:
        def both(x: Any, y: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch((x, y))
                value = mean(x, y)
            return value, tape.gradient(value, (x, y))

        traced = tf.function(both)
        return lambda: _wait(traced(x, y)[0])

    traced_similarity, traced_distance = tf.function(similarity), tf.function(distance)
    return Functions(traced_similarity, traced_distance, with_gradients, tf.constant, _wait)


def _wait(result: Any) -> Any:
    """Return the result as a NumPy array.

    On the CPU, TensorFlow returns only finished results, and NumPy views them without a copy.
    """
    return result.numpy()


def _cosgrad() -> Functions:
    import cosgrad.tensorflow as frontend

    return _functions(frontend.cosine_similarity, frontend.cosine_distance, frontend.cosine_distance_loss)


def _keras() -> Functions:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras

    def similarity(x: Any, y: Any) -> Any:
        return -keras.losses.cosine_similarity(x, y)  # Keras's loss is -S

    return _functions(similarity, minus(similarity))


def _formula() -> Functions:
    import tensorflow as tf

    def similarity(x: Any, y: Any) -> Any:
        return tf.reduce_sum(tf.nn.l2_normalize(x, -1, 0.0) * tf.nn.l2_normalize(y, -1, 0.0), -1)

    return _functions(similarity, minus(similarity))


TENSORFLOW = ("tensorflow", "tensorflow-cpu", "tf-nightly")

LIBRARIES: tuple[Library, ...] = (
    Library(
        "cosgrad.tensorflow",
        "tensorflow",
        "cosine_similarity in tf.function",
        _cosgrad,
        ("cosgrad",),
        ours=True,
        pool=True,
    ),
    Library("keras", "tensorflow", "losses.cosine_similarity in tf.function", _keras, ("keras",), pool=True),
    Library(
        "tensorflow",
        "tensorflow",
        "tf.nn.l2_normalize, reduce_sum in tf.function",
        _formula,
        TENSORFLOW,
        pool=True,
    ),
)
