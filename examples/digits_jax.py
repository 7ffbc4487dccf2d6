"""The digits in JAX: `python examples/digits_jax.py`."""

import jax
import jax.numpy as jnp
from digits import RATE, Digits, train

from cosgrad.jax import cosine_distance_loss

data = Digits()
parameters = [jnp.asarray(p) for p in data.start]


@jax.jit
def encode(parameters, x):
    W1, b1, W2, b2 = parameters
    return jnp.tanh(x @ W1 + b1) @ W2 + b2


@jax.jit
def update(parameters, x, codes):
    loss, gradients = jax.value_and_grad(lambda p: cosine_distance_loss(codes, encode(p, x)))(parameters)
    return loss, jax.tree.map(lambda p, g: p - RATE * g, parameters, gradients)


def step(x, codes):
    global parameters
    loss, parameters = update(parameters, x, codes)
    return float(loss)


train("JAX", step, lambda x: encode(parameters, x), data)
