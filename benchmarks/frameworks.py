"""The workloads of JAX and TensorFlow. Each framework is imported when its workload is prepared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from contest import Contest, Rival
from cosgrad.bench.timing import Work
from workloads import SEED, workload


def arrays(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two seeded normal arrays of float32 vectors with 768 components."""
    x, y = np.random.default_rng(SEED).standard_normal((2, rows, 768), np.float32)
    return x, y


@workload("jax-loss-float32-32768", "mean loss, forward+backward, JAX, 32768x768 float32")
def jax_loss() -> Contest:
    import jax
    import jax.numpy as jnp
    import optax

    import cosgrad.jax

    x, y = map(jnp.asarray, arrays(32768))

    def plain(x: Any, y: Any) -> Any:
        S = jnp.sum(x * y, -1) / (jnp.linalg.norm(x, axis=-1) * jnp.linalg.norm(y, axis=-1))
        return jnp.mean(1 - S)

    def of_optax(x: Any, y: Any) -> Any:
        return jnp.mean(optax.losses.cosine_distance(x, y))

    def compiled(loss: Callable[[Any, Any], Any]) -> Work:
        function = jax.jit(jax.value_and_grad(loss, (0, 1)))
        wait: Any = jax.block_until_ready
        return lambda: wait(function(x, y))

    return Contest(
        compiled(cosgrad.jax.cosine_distance_loss),
        {"jit of optax's": Rival(compiled(of_optax), 3.0), "jit of the formula": Rival(compiled(plain), 2.0)},
    )


@workload("tensorflow-loss-float32-32768", "mean loss, forward+backward, TensorFlow, 32768x768 float32")
def tensorflow_loss() -> Contest:
    import tensorflow as tf

    import cosgrad.tensorflow

    x, y = map(tf.constant, arrays(32768))

    def of_keras(x: Any, y: Any) -> Any:
        return 1 + tf.reduce_mean(tf.keras.losses.cosine_similarity(x, y))

    def compiled(loss: Callable[[Any, Any], Any], *, xla: bool = False) -> Work:
        def function() -> Any:
            with tf.GradientTape() as tape:
                tape.watch((x, y))
                value = loss(x, y)
            return value, tape.gradient(value, (x, y))

        traced = tf.function(function, jit_compile=xla)
        return lambda: float(traced()[0])

    return Contest(
        compiled(cosgrad.tensorflow.cosine_distance_loss),
        {"tf.function": Rival(compiled(of_keras), 3.0), "XLA": Rival(compiled(of_keras, xla=True), 1.5)},
    )
